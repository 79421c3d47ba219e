"""Groups that nobody comes back to, and messages that no group came for: which there are, and their end."""

from iii_cluster.modules.queue.names import group_of
from iii_cluster.redis.commands import Commands

from . import keys as names
from . import scripts
from .keys import LaneKeys
from .partitions import backlog_lane, parted

MOST = 1000  # lanes found at once


class LaneRetention:
    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._prefix = prefix

    async def abandoned(self, retention_ms: int) -> list[str]:
        keys = (names.attended(self._prefix),)
        found: list[bytes] = await self._commands.run(scripts.ABANDONED, keys, (retention_ms, MOST), again=True)
        return [lane.decode() for lane in found]

    async def expire(self, lane: str, token: int, retention_ms: int) -> int | None:
        """How many jobs were deleted, None: it is not over with them."""
        topic = group_of(parted(lane)[0]).topic
        prefix = self._prefix
        common = (names.attended(prefix), names.lanes(prefix), names.subscribers(prefix, topic), names.topics(prefix))
        keys, backlog = LaneKeys(prefix, lane), backlog_lane(topic)
        if lane == backlog:
            script = scripts.EXPIRE_BACKLOG
            used: tuple[str, ...] = (*common, keys.jobs, keys.waiting, keys.delayed)
            arguments: tuple[str | int, ...] = (lane, topic, retention_ms)
        else:
            script = scripts.EXPIRE_GROUP
            taken = (keys.token, keys.jobs, keys.tries, keys.waiting, keys.delayed, keys.active)
            used = (*common, LaneKeys(prefix, backlog).jobs, *taken, keys.dead, keys.errors, keys.done)
            arguments = (lane, topic, token, retention_ms)
        total = 0
        while True:
            said, count = await self._commands.run(script, used, arguments, again=True)
            total += count
            if said != 2:
                return total if said else None
