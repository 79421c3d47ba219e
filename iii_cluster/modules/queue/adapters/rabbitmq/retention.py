"""Groups that nobody comes back to, and messages that no group came for: their end."""

from iii_cluster.modules.queue.adapter import Group
from iii_cluster.modules.queue.names import group_of

from . import messages
from .connection import Broker, answered
from .names import backlog, names_of_group
from .topics import Topics, backlog_lane
from .topology import Topology
from .walk import count, walk


class GroupRetention:
    """`patience`: seconds a queue is waited for that somebody else looks through."""

    def __init__(self, broker: Broker, topics: Topics, topology: Topology, patience: float) -> None:
        self._broker = broker
        self._topics = topics
        self._topology = topology
        self._patience = patience

    async def expire(self, lane: str, retention_ms: int) -> int | None:
        """How many jobs were deleted, None: somebody came."""
        oldest = messages.now_ms() - retention_ms
        since = await self._topics.attended_at(lane)
        if since is None or since > oldest:
            return None
        group = group_of(lane)
        if lane == backlog_lane(group.topic):
            deleted, young = await self._shorten(group.topic, oldest)
            await self._topics.waits(group.topic, young)
        else:
            deleted = await self._delete(group)
            await self._topics.forget(group)
        if not await self._topics.groups(group.topic) and not await count(self._broker, backlog(group.topic).queue):
            await self._topics.forget_topic(group.topic)
        return deleted

    async def _delete(self, group: Group) -> int:
        names = names_of_group(group)
        total = 0
        for name in (names.queue, names.retry_queue, names.dead_queue):
            async with self._broker.channel() as channel:
                total += (await answered(channel.queue_delete(name))).message_count or 0
        self._topology.forget()
        return total

    async def _shorten(self, topic: str, oldest: int) -> tuple[int, int | None]:
        """How many messages were deleted, and when the first one was made that stays."""
        deleted = 0
        async with walk(self._broker, backlog(topic).queue, self._patience, taking=True) as found:
            async for message in found:
                read = messages.read(messages.IncomingMessage(message.body, message.message_id, message.headers))
                if read.job.created_at > oldest:
                    return deleted, read.job.created_at
                await answered(message.ack())
                deleted += 1
        return deleted, None
