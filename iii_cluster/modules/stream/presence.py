"""Who has joined at this gateway, recorded in Redis: hooks are to be told who left, even if the gateway dies."""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from itertools import count
from typing import Any

import msgspec
from redis.exceptions import RedisError

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Commands, Unavailable
from iii_cluster.redis.script import Script

from . import names
from .hooks import Membership
from .scripts import PACKAGE

LEASE = 10.0  # seconds a gateway's records count as live without being prolonged

_DEAD, _KEPT, _UNKNOWN = 0, 1, 2  # replies of presence_keep.lua
_KEEP = Script(PACKAGE, "presence_keep.lua")
_encode = msgspec.json.Encoder().encode

log = logging.getLogger(__name__)


def departure(gateway: str, number: str) -> str:
    """Names the end of a subscription, whoever tells of it."""
    return f"stream-left:{gateway}:{number}"


class Presence:
    def __init__(self, engine: Engine, commands: Commands) -> None:
        self._prefix = engine.prefix
        self._commands = commands
        self._numbers = count(1)
        self._name = secrets.token_hex(8)
        self._recorded: dict[str, bytes] = {}  # departure -> membership
        self._leased = False
        self._tasks: set[asyncio.Task[None]] = set()

    def joined(self, membership: Membership) -> str:
        """Record it; returns the name of its departure."""
        ended = departure(self._name, str(next(self._numbers)))
        self._recorded[ended] = _encode(membership)
        if not self._leased:
            self._leased = True
            self._start(self._keep())
        self._record(ended)
        return ended

    def left(self, ended: str) -> None:
        """Hooks were told of the departure."""
        if ended in self._recorded:
            del self._recorded[ended]
            _, gateway, number = ended.split(":")
            self._start(self._do(b"HDEL", names.present(self._prefix, gateway), number))

    async def prolong(self) -> bool:
        """To be called every second or so. False: this gateway was taken for dead, and hooks are being told that its
        clients have left."""
        kept = await self._keep() if self._recorded else _KEPT
        if kept == _UNKNOWN:  # Redis has lost its memory
            for ended in self._recorded:
                self._record(ended)
        if kept != _DEAD:
            return True
        log.warning("action=stream_presence_lost clients=%d", len(self._recorded))
        self._name = secrets.token_hex(8)
        self._recorded.clear()
        self._leased = False
        return False

    async def close(self) -> None:
        """What is still recorded is told of by a shard, as soon as the lease has ended."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            task.cancel()
        if self._leased and not self._recorded:
            await self._do(b"ZREM", names.gateways(self._prefix), self._name)

    def _record(self, ended: str) -> None:
        number = ended.rpartition(":")[2]
        self._start(self._do(b"HSET", names.present(self._prefix, self._name), number, self._recorded[ended]))

    async def _keep(self) -> int:
        """How the lease was found; kept, as long as nothing else is known."""
        keys = names.gateways(self._prefix), names.dead(self._prefix)
        try:
            return int(await self._commands.run(_KEEP, keys, (self._name, round(LEASE * 1000)), again=True))
        except (RedisError, Unavailable):
            return _KEPT

    async def _do(self, *arguments: str | bytes) -> None:
        try:
            await self._commands.execute(*arguments, again=True)
        except (RedisError, Unavailable) as error:
            log.debug("action=stream_presence_unrecorded error=%s", error)

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        """Without waiting; in the order of the calls."""
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
