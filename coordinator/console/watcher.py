"""Looks at the cluster every few seconds, whether somebody reads the page or not."""

import asyncio
import logging
import time

from iii_cluster.bus.ask import AskError
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.cluster.tasks import end

from .history import History
from .marks import Marks
from .overview import Row, overview
from .reach import Reach

INTERVAL = 2.0  # s between two rounds
SHARE = 25  # as many times as long as a round took to work on, at least, until the next one
ASK_TIMEOUT = 2.0  # s

logger = logging.getLogger(__name__)


class Watcher:
    """Keeps history and marks."""

    def __init__(self, reach: Reach) -> None:
        self.history = History()
        self.marks = Marks()
        self._reach = reach
        reach.on_redis = self.marks.see_redis
        self._registered: int | None = None  # functions
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="console-watcher")

    async def stop(self) -> None:
        if self._task is not None:
            await end(self._task)

    def on_map(self, _old: ClusterMap, new: ClusterMap) -> None:
        self.marks.see_map(new, _now_ms())
        self.history.keep(new.nodes)

    def overview(self) -> Row:
        reach = self._reach
        name, node = reach.node.settings.cluster, reach.node.info.id
        return overview(name, node, reach.map, reach.redis, self.history, self.marks, self._registered)

    async def _run(self) -> None:
        while True:
            worked = INTERVAL / SHARE
            try:
                worked = await self.look()
            except Exception:
                logger.exception("action=console_look_failed")
            await asyncio.sleep(max(INTERVAL, worked * SHARE))

    async def look(self) -> float:
        """One round; returns the seconds it took to work on, without those it waited."""
        self.marks.see_map(self._reach.map, _now_ms())
        snapshots, _ = await self._reach.snapshots()
        began = time.monotonic()
        self.history.add(_now_ms(), snapshots)
        worked = time.monotonic() - began
        await self._count_functions()
        return worked

    async def _count_functions(self) -> None:
        if not self._reach.reachable:
            return
        shards = self._reach.map.of_role(Role.SHARD)
        try:
            answers, silent = await self._reach.node.asker.ask_all(shards, "registry.digest", timeout=ASK_TIMEOUT)
        except AskError:  # the node is about to be replaced
            return
        if answers and not silent:
            self._registered = sum(answer["count"] for answer in answers.values())


def _now_ms() -> int:
    return int(time.time() * 1000)
