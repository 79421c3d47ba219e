"""Whether deliveries of former owners may still be on their way to gateways.

A shard that lost a slot and lives has stopped delivering for it, but what it sent before may arrive late: after the
gateways were asked what became of its deliveries. So each shard first has its own links emptied: a gateway that answers
a question of it has taken in everything that was sent before.
"""

import asyncio

from iii_cluster.bus.ask import Asker, AskError
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.modules.adopting import FIND, PATIENCE

FLUSHED = "deliveries.flushed"


class Flushed:
    """Of one shard."""

    def __init__(self, me: str, asker: Asker) -> None:
        self._me = me
        self._asker = asker
        self._map = ClusterMap()
        self._news = asyncio.Event()  # there is a new map
        self._asking: asyncio.Task[bool] | None = None
        self._epoch = -1  # that is asked for
        asker.answer(FLUSHED, lambda _src, epoch: self._flush(epoch))

    def on_map(self, new: ClusterMap) -> None:
        """After the modules were told of lost slots."""
        self._map = new
        self._news.set()

    async def others(self, current: ClusterMap) -> bool:
        """Whether all other shards know this map, and nothing they sent before is on its way. Asked once per map."""
        if self._epoch != current.epoch or self._failed():
            self._epoch = current.epoch
            self._asking = asyncio.create_task(self._ask_others(current))
        assert self._asking is not None
        return await asyncio.shield(self._asking)

    def _failed(self) -> bool:
        task = self._asking
        return task is not None and task.done() and (task.cancelled() or not task.result())

    async def _ask_others(self, current: ClusterMap) -> bool:
        others = [node for node in current.of_role(Role.SHARD) if node != self._me]
        said, missing = await self._asker.ask_all(others, FLUSHED, current.epoch, timeout=PATIENCE)
        return not missing and all(said.values())

    async def _flush(self, epoch: int) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                while self._map.epoch < epoch:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AskError(f"this shard knows no map of epoch {epoch}") from None
        gateways = self._map.of_role(Role.GATEWAY)
        _, missing = await self._asker.ask_all(gateways, FIND, {"names": [], "epoch": 0}, timeout=PATIENCE)
        return not missing

    def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
