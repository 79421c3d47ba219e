"""Which topics there are and which groups they have: RabbitMQ does not tell its clients, so Redis remembers.

Keys behind `{cluster}:queue:rabbitmq:`, for as long as the cluster lives.

| key              | type | what                                                            |
|------------------|------|-----------------------------------------------------------------|
| `topics`         | set  | topics that have, or had, groups or messages                    |
| `groups:<topic>` | hash | group (JSON: [function, namespace]) -> 1, 0 when it unsubscribed |
"""

import msgspec

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.queue.adapter import Group

_read = msgspec.json.Decoder(tuple[str, str]).decode


class Topics:
    def __init__(self, engine: Engine) -> None:
        self._commands = engine.commands
        self._prefix = f"{engine.prefix}:queue:rabbitmq:"

    async def remember(self, topic: str) -> None:
        await self._commands.execute("SADD", f"{self._prefix}topics", topic, again=True)

    async def subscribed(self, group: Group, yes: bool) -> None:
        field = msgspec.json.encode((group.function, group.namespace))
        await self.remember(group.topic)
        await self._commands.execute("HSET", self._groups(group.topic), field, int(yes), again=True)

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
