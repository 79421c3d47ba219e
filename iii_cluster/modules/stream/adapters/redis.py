"""Streams in Redis or Valkey: a hash per group. What is stored and what is told of it happens in one script."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.stream import names
from iii_cluster.modules.stream.adapter import Snapshot, StreamAdapter, array, too_large
from iii_cluster.modules.stream.adoption import adopt
from iii_cluster.modules.stream.publisher import Notice, Publisher
from iii_cluster.modules.stream.scripts import DELETE, SET, SNAPSHOT, SWAP
from iii_cluster.redis.commands import Commands

PAGE = 1000  # items read at a time
MAX_AT_ONCE = 10_000  # items of a group that one command may read; others wait while it does


class RedisStreamsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    redis_url: str = ""  # "": the cluster's own
    key_prefix: str | None = None  # None: the cluster's; "" for data of a reference engine


class RedisStreams(StreamAdapter):
    Config = RedisStreamsConfig

    def __init__(self, config: RedisStreamsConfig, engine: Engine) -> None:
        super().__init__(config, engine)
        self._config = config
        self._engine = engine
        self._prefix = engine.prefix
        self._keys = names.DataKeys(f"{engine.prefix}:" if config.key_prefix is None else config.key_prefix)

    @property
    def server(self) -> str:
        return self._config.redis_url

    @property
    def _commands(self) -> Commands:
        url = self._config.redis_url
        return self._engine.commands_of(url) if url else self._engine.commands

    async def start(self, publisher: Publisher) -> None:
        if self._config.key_prefix is not None:
            await adopt(self._commands, self._keys, self._config.key_prefix)

    async def get(self, stream: str, group: str, item: str) -> bytes | None:
        value: bytes | None = await self._commands.execute(b"HGET", self._keys.items(stream, group), item, again=True)
        return value

    async def set(self, stream: str, group: str, item: str, value: bytes, notice: Notice) -> bytes | None:
        old: bytes | None = await self._commands.run(
            SET, self._written(stream, group, notice), (*notice.arguments, item, value, group, stream)
        )
        return old

    async def delete(self, stream: str, group: str, item: str, notice: Notice) -> bytes | None:
        old: bytes | None = await self._commands.run(
            DELETE, self._written(stream, group, notice), (*notice.arguments, item, group, stream)
        )
        return old

    async def swap(
        self,
        stream: str,
        group: str,
        item: str,
        expected: bytes | None,
        steps: Sequence[bytes],
        notice: Notice,
    ) -> tuple[bool, bytes | None]:
        there = (b"0", b"") if expected is None else (b"1", expected)
        reply: list[Any] = await self._commands.run(
            SWAP,
            self._written(stream, group, notice),
            (*notice.arguments, item, *there, group, stream, *steps),
        )
        return (True, None) if reply[0] else (False, reply[1] if len(reply) > 1 else None)

    async def values(self, stream: str, group: str) -> AsyncIterator[Sequence[bytes]]:
        key, cursor = self._keys.items(stream, group), b"0"
        seen: set[bytes] = set()  # a scan may show an item twice
        while True:
            cursor, page = await self._commands.execute(b"HSCAN", key, cursor, b"COUNT", PAGE, again=True)
            items = dict(zip(page[::2], page[1::2], strict=True))
            yield [value for item, value in items.items() if item not in seen]
            if cursor == b"0":
                return
            seen |= items.keys()

    async def snapshot(self, stream: str, group: str, item: str | None, after: int) -> Snapshot:
        keys = names.clock(self._prefix, stream, group), self._keys.items(stream, group)
        what = (item,) if item is not None else ()
        reply = await self._commands.run(SNAPSHOT, keys, (after, MAX_AT_ONCE, *what), again=True)
        if item is not None:
            return Snapshot(reply[0], reply[1] if len(reply) > 1 and reply[1] is not None else b"null")
        values = reply[1] if isinstance(reply[1], list) else await self._many(stream, group)
        return Snapshot(reply[0], array(values))

    async def _many(self, stream: str, group: str) -> list[bytes]:
        limit = self._engine.settings.max_message_bytes
        values: list[bytes] = []
        size = 0
        async for page in self.values(stream, group):
            values += page
            size += sum(map(len, page))
            if size > limit:
                raise too_large(limit)
        return values

    async def groups(self, stream: str) -> Sequence[str]:
        found = await self._commands.execute(b"SMEMBERS", self._keys.groups(stream), again=True)
        return [name.decode() for name in found]

    async def streams(self) -> Mapping[str, Sequence[str]]:
        found = await self._commands.execute(b"SMEMBERS", self._keys.streams, again=True)
        return {name: await self.groups(name) for name in sorted(name.decode() for name in found)}

    def _written(self, stream: str, group: str, notice: Notice) -> tuple[str, ...]:
        """The keys of the scripts that write."""
        keys = self._keys
        return keys.items(stream, group), notice.clock, keys.groups(stream), keys.streams, *notice.keys
