"""On shards: how full the queues are, for metrics. One shard tells of each queue."""

import asyncio
import logging
import time

from redis.exceptions import RedisError

from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable
from iii_cluster.telemetry.metrics.snapshot import QueueNumbers, Snapshot

from .adapter import Adapter, Queue, Stats
from .consumption import Consumption

INTERVAL = 5.0  # s between looks
PAUSE = 0.2  # s, the least of it: slots that move do so together
MAX_QUEUES = 1_000  # told by one shard

logger = logging.getLogger(__name__)


class Numbers:
    """Looks while it is not stopped. What cannot be read now stays as it was."""

    def __init__(self, engine: Engine, adapter: Adapter, consumption: Consumption) -> None:
        self._metrics = engine.telemetry.metrics
        self._adapter = adapter
        self._consumption = consumption
        self._known: dict[str, tuple[Queue, Stats]] = {}  # by queue id
        self._moved = asyncio.Event()  # what has come here is told of by nobody until it is looked at
        engine.ownership.subscribe(self._moved.set)
        self._metrics.watch(self._tell)
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def stop(self) -> None:
        self._metrics.unwatch(self._tell)
        self._looking.cancel()
        await asyncio.wait([self._looking])

    async def look(self) -> None:
        """Once."""
        mine = self._consumption.told_here()[:MAX_QUEUES]
        self._known = {queue.id: self._known[queue.id] for queue in mine if queue.id in self._known}
        for queue in mine:
            self._known[queue.id] = queue, await self._adapter.stats(queue)

    async def _look(self) -> None:
        while True:
            self._moved.clear()
            try:
                await self.look()
            except (Unavailable, RedisError, EngineError):
                pass  # there are log lines enough about it
            except Exception:
                logger.exception("action=queue_numbers_failed")
            await asyncio.sleep(PAUSE)
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._moved.wait()
            except TimeoutError:
                pass

    def _tell(self, snapshot: Snapshot) -> None:
        """What has moved to another shard since the last look, that one tells."""
        now = time.time() * 1000
        for queue, stats in self._known.values():
            if self._consumption.tells_of(queue):
                age = max(0.0, now - stats.oldest) / 1000 if stats.oldest else 0.0
                snapshot.queues[_shown(queue)] = QueueNumbers(stats.depth, stats.delayed, stats.dead, age)


def _shown(queue: Queue) -> str:
    """Named queues by their name; those of topics by what tells their groups apart."""
    return queue.name if queue.group is None else queue.id
