"""Writes to one item of a provider take turns: nothing else keeps what is told in the order of what is stored.

Within a gateway by a lock, among gateways by a lease in Redis that is renewed while the turn lasts.
"""

import asyncio
import secrets
from contextlib import suppress
from types import TracebackType

from redis.exceptions import RedisError

from iii_cluster.redis.commands import Commands, Unavailable
from iii_cluster.redis.script import Script

from . import names
from .scripts import PACKAGE

LEASE = 5.0  # seconds a turn outlives its gateway
RENEWAL = 1.5  # seconds between renewals
FIRST_LOOK = 0.005  # seconds until somebody else's turn is looked at again; doubled each time
SLOWEST_LOOK = 0.1

_KEEP = Script(PACKAGE, "turn_keep.lua")
_END = Script(PACKAGE, "turn_end.lua")


class _Lock(asyncio.Lock):
    users = 0


class ItemTurns:
    """async with turns.turn(stream, group, item): ..."""

    def __init__(self, commands: Commands, prefix: str, patience: float) -> None:
        """`patience`: seconds to wait for a turn."""
        self.commands = commands
        self.patience = patience
        self._prefix = prefix
        self._locks: dict[str, _Lock] = {}

    def turn(self, stream: str, group: str, item: str) -> "_Turn":
        return _Turn(self, names.turn(self._prefix, stream, group, item))

    def lock(self, key: str) -> _Lock:
        lock = self._locks.setdefault(key, _Lock())
        lock.users += 1
        return lock

    def done_with(self, key: str) -> None:
        lock = self._locks[key]
        lock.users -= 1
        if not lock.users:
            del self._locks[key]


class _Turn:
    """Entering raises TimeoutError when others keep their turns too long, and Unavailable."""

    def __init__(self, turns: ItemTurns, key: str) -> None:
        self._turns = turns
        self._key = key
        self._holder = secrets.token_hex(8)
        self._lock = turns.lock(key)
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(self._turns.patience):
                await self._lock.acquire()
                try:
                    await self._lease()
                except BaseException:
                    self._lock.release()
                    raise
        except BaseException:
            self._turns.done_with(self._key)
            raise
        self._renewal = asyncio.get_running_loop().create_task(self._renew())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        ended = self._turns.commands.start(_END, (self._key,), (self._holder,), again=True)
        ended.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # else it runs out by itself
        self._lock.release()
        self._turns.done_with(self._key)

    async def _lease(self) -> None:
        look = FIRST_LOOK
        take = b"SET", self._key, self._holder, b"NX", b"PX", round(LEASE * 1000)
        while await self._turns.commands.execute(*take, again=True) is None:
            await asyncio.sleep(look)
            look = min(look * 2, SLOWEST_LOOK)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL)
            with suppress(RedisError, Unavailable):
                await self._turns.commands.run(_KEEP, (self._key,), (self._holder, round(LEASE * 1000)), again=True)
