"""State in Redis: a hash per scope, and a set of all scopes."""

import logging
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec import Struct

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.events.script import EventScript
from iii_cluster.modules.events.writer import EventWriter
from iii_cluster.modules.state.adapter import Notice, StateAdapter
from iii_cluster.redis.commands import Commands

FIRST_PAGE = 64  # elements asked for while nothing is known of their size
MAX_PAGE = 2000  # elements
PAGE_BYTES = 2**20  # aimed at
SCAN_COUNT = 1000  # keys or scopes looked at per command

_HERE = "iii_cluster.modules.state.adapters"
_SET = EventScript(_HERE, "set.lua")
_DELETE = EventScript(_HERE, "delete.lua")
_SWAP = EventScript(_HERE, "swap.lua")

log = logging.getLogger(__name__)


class RedisConfig(Struct, frozen=True, forbid_unknown_fields=True):
    redis_url: str | None = None  # None: the cluster's own
    key_prefix: str | None = None  # before "state:<scope>"; None: "{cluster}:", "": as the reference engine has them


class RedisAdapter(StateAdapter):
    Config = RedisConfig

    def __init__(self, config: RedisConfig, engine: Engine) -> None:
        own = config.redis_url is None
        self._commands = engine.commands if config.redis_url is None else engine.commands_of(config.redis_url)
        self._outbox = None if own else self._commands
        self._adopts = config.key_prefix is not None
        self._data = (f"{engine.prefix}:" if config.key_prefix is None else config.key_prefix) + "state:"
        self._scopes = f"{engine.prefix}:state-scopes"

    @property
    def outbox(self) -> Commands | None:
        return self._outbox

    async def start(self, events: EventWriter) -> None:
        if self._adopts:
            await self._find_scopes()

    async def get(self, scope: str, key: str) -> bytes | None:
        value: bytes | None = await self._commands.execute(b"HGET", self._data + scope, key, again=True)
        return value

    async def set(self, scope: str, key: str, value: bytes, notice: Notice | None) -> bytes | None:
        keys: tuple[str, ...] = (self._data + scope, self._scopes)
        arguments: tuple[Any, ...] = (key, value, scope)
        if notice is not None:
            keys += (notice.target.stream,)
            arguments += (notice.text.middle, *notice.target.arguments)
        old: bytes | None = await self._commands.start(_SET, keys, arguments)
        return old

    async def delete(self, scope: str, key: str, notice: Notice | None) -> bytes | None:
        keys: tuple[str, ...] = (self._data + scope, self._scopes)
        arguments: tuple[Any, ...] = (key, scope)
        if notice is not None:
            keys += (notice.target.stream,)
            arguments += (notice.text.middle, *notice.target.arguments)
        old: bytes | None = await self._commands.start(_DELETE, keys, arguments)
        return old

    async def swap(
        self, scope: str, key: str, expected: bytes | None, steps: Sequence[bytes], notice: Notice | None
    ) -> tuple[bool, bytes | None]:
        keys: tuple[str, ...] = (self._data + scope, self._scopes)
        arguments: tuple[Any, ...] = (key, scope, int(expected is not None), expected or b"")
        if notice is not None:
            keys += (notice.target.stream,)
            arguments += (notice.text.middle, *notice.target.arguments, *steps)
        else:
            arguments += ("", "", "", "", steps[-1])
        reply = await self._commands.start(_SWAP, keys, arguments)
        return (True, None) if reply[0] == 1 else (False, reply[1] if len(reply) > 1 else None)

    async def pages(self, scope: str) -> AsyncIterator[Sequence[tuple[str, bytes]]]:
        cursor, count = b"0", FIRST_PAGE
        seen: set[bytes] = set()
        while True:
            cursor, flat = await self._commands.execute(
                b"HSCAN", self._data + scope, cursor, b"COUNT", count, again=True
            )
            last = cursor == b"0"
            page: list[tuple[str, bytes]] = []
            size = 0
            for name, value in zip(flat[::2], flat[1::2], strict=True):
                if name not in seen:
                    page.append((name.decode(errors="replace"), value))
                    size += len(name) + len(value)
                    if not last:
                        seen.add(name)
            if page:
                yield page
                count = max(10, min(MAX_PAGE, PAGE_BYTES * len(page) // (size + 1)))
            if last:
                return

    async def groups(self) -> list[str]:
        cursor = b"0"
        found: set[bytes] = set()
        while True:
            cursor, scopes = await self._commands.execute(
                b"SSCAN", self._scopes, cursor, b"COUNT", SCAN_COUNT, again=True
            )
            found.update(scopes)
            if cursor == b"0":
                return [scope.decode() for scope in found]

    async def _find_scopes(self) -> None:
        """Data that was here before, or that somebody else writes."""
        cursor, found = b"0", 0
        pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", self._data) + "*"
        while True:
            cursor, keys = await self._commands.execute(
                b"SCAN", cursor, b"MATCH", pattern, b"COUNT", SCAN_COUNT, b"TYPE", b"hash", again=True
            )
            scopes = [key[len(self._data.encode()) :] for key in keys]
            found += len(scopes)
            if scopes:
                await self._commands.execute(b"SADD", self._scopes, *scopes, again=True)
            if cursor == b"0":
                log.info("action=state_scopes_found count=%d", found)
                return


class KvConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What older files say of the one-process store; none of it matters here."""

    store_method: str | None = None
    file_path: str | None = None
    save_interval_ms: int | None = None


class KvAdapter(RedisAdapter):
    """`kv` of older files: a cluster keeps its state in Redis."""

    Config = KvConfig  # type: ignore[assignment]

    def __init__(self, _config: KvConfig, engine: Engine) -> None:
        super().__init__(RedisConfig(), engine)

    async def start(self, events: EventWriter) -> None:
        log.info("action=adapter_replaced module=iii-state adapter=kv by=redis")
        await super().start(events)
