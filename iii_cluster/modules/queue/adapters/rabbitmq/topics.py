"""Which topics there are and which groups they have: RabbitMQ does not tell its clients, so Redis remembers.

Keys behind `{cluster}:queue:rabbitmq:`, for as long as the cluster lives.

| key              | type | what                                                            |
|------------------|------|-----------------------------------------------------------------|
| `topics`         | set  | topics that have, or had, groups or messages                    |
| `groups:<topic>` | hash | group (JSON: [function, namespace]) -> 1, 0 when it unsubscribed |
| `attended`       | zset | lanes of groups by when they last had triggers (ms), and backlogs by their oldest message |
"""

import msgspec

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.queue.adapter import Group
from iii_cluster.modules.queue.names import group_queue, quoted

from .messages import now_ms

MOST = 1000  # abandoned lanes found at once

_read = msgspec.json.Decoder(tuple[str, str]).decode


def backlog_lane(topic: str) -> str:
    """Whose owner looks after messages that wait for the topic's first group."""
    return f"backlog:{quoted(topic)}"


def _field(group: Group) -> bytes:
    return msgspec.json.encode((group.function, group.namespace))


class Topics:
    def __init__(self, engine: Engine) -> None:
        self._commands = engine.commands
        self._prefix = f"{engine.prefix}:queue:rabbitmq:"
        self._attended = f"{self._prefix}attended"

    async def remember(self, topic: str) -> None:
        await self._commands.execute("SADD", f"{self._prefix}topics", topic, again=True)

    async def subscribed(self, group: Group, yes: bool) -> None:
        await self.remember(group.topic)
        await self._commands.execute("HSET", self._groups(group.topic), _field(group), int(yes), again=True)
        if yes:
            await self._attend(group_queue(group), now_ms())

    async def forget(self, group: Group) -> None:
        await self._commands.execute("HDEL", self._groups(group.topic), _field(group), again=True)
        await self._commands.execute("ZREM", self._attended, group_queue(group), again=True)

    async def forget_topic(self, topic: str) -> None:
        await self._commands.execute("SREM", f"{self._prefix}topics", topic, again=True)

    async def kept(self, topic: str) -> None:
        """A message waits for the first group."""
        await self.remember(topic)
        await self._attend(backlog_lane(topic), now_ms(), "NX")

    async def waits(self, topic: str, since: int | None) -> None:
        """Since when the oldest message waits for the first group; None: there is no message."""
        if since is None:
            await self._commands.execute("ZREM", self._attended, backlog_lane(topic), again=True)
        else:
            await self._attend(backlog_lane(topic), since)

    async def _attend(self, lane: str, at: int, *options: str) -> None:
        await self._commands.execute("ZADD", self._attended, *options, at, lane, again=True)

    async def attended_at(self, lane: str) -> int | None:
        at = await self._commands.execute("ZSCORE", self._attended, lane, again=True)
        return None if at is None else int(float(at))

    async def abandoned(self, retention_ms: int) -> list[str]:
        before = now_ms() - retention_ms
        limit = ("LIMIT", 0, MOST)
        found = await self._commands.execute("ZRANGEBYSCORE", self._attended, "-inf", before, *limit, again=True)
        return [lane.decode() for lane in found]

    async def all(self) -> list[str]:
        found: set[bytes] = await self._commands.execute("SMEMBERS", f"{self._prefix}topics", again=True)
        return sorted(topic.decode() for topic in found)

    async def groups(self, topic: str, *, live: bool = False) -> list[Group]:
        """`live`: only those that get new messages."""
        found = await self._commands.execute("HGETALL", self._groups(topic), again=True)
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        fields = sorted(field for field, state in pairs if state == b"1" or not live)
        return [Group(topic, *_read(field)) for field in fields]

    def _groups(self, topic: str) -> str:
        return f"{self._prefix}groups:{topic}"
