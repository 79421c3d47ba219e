"""On shards: groups of topics that nobody comes back to end, and messages that no group comes for are deleted."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection

from redis.exceptions import RedisError

from iii_cluster.cluster.tasks import end
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

from .adapter import Adapter
from .names import lane_key

LOOK = 60.0  # seconds between looks
GRACE = 3600.0  # seconds a shard waits itself before it deletes anything: the whole cluster may have been away

logger = logging.getLogger(__name__)


class Retention:
    """`attended()`: lanes of groups with triggers, None while that is not known. `seconds` without any are allowed."""

    def __init__(
        self, engine: Engine, adapter: Adapter, attended: Callable[[], Collection[str] | None], seconds: float
    ) -> None:
        self._engine = engine
        self._adapter = adapter
        self._attended = attended
        self._ms = int(seconds * 1000)
        self._grace = min(GRACE, seconds)
        self._found: dict[str, tuple[int, float]] = {}  # abandoned lanes of ours: under which token, since when
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK * random.uniform(0.8, 1.2))
            try:
                await self._look()
            except (Unavailable, RedisError, EngineError) as error:
                logger.warning("action=retention_postponed error=%s", error)
            except Exception:
                logger.exception("action=retention_failed")

    async def _look(self) -> None:
        attended = self._attended()
        if attended is None:
            return
        now = asyncio.get_running_loop().time()
        before, self._found = self._found, {}
        for lane in await self._adapter.abandoned(self._ms):
            token = self._token(lane)
            if token and lane not in attended:
                found = before.get(lane, (token, now))
                self._found[lane] = found if found[0] == token else (token, now)
        for lane, (token, since) in list(self._found.items()):
            if now - since >= self._grace and self._token(lane) == token:
                await self._expire(lane, token)

    async def _expire(self, lane: str, token: int) -> None:
        try:
            jobs = await self._adapter.expire(lane, token, self._ms)
        except (RedisError, EngineError) as error:  # of this lane only
            logger.warning("action=group_stays queue=%r error=%s", lane, error)
            return
        if jobs is not None:
            del self._found[lane]
            logger.warning("action=group_expired queue=%r jobs=%d", lane, jobs)

    def _token(self, lane: str) -> int:
        return self._engine.ownership.token(lane_key(lane))
