"""Who has joined at this gateway, recorded in Redis: hooks are to be told who left, even if the gateway dies.

A gateway has a name there, and a lease that it prolongs. Nothing is recorded under a name without a lease, so there are
no records that nobody looks after. A gateway whose lease has ended takes another name and records everybody anew, but
for those whose hooks a shard has told (see departures.py).
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice

import msgspec
from redis.exceptions import RedisError

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Commands, Unavailable
from iii_cluster.redis.script import Script

from . import names
from .hooks import Membership
from .scripts import PACKAGE

LEASE = 10.0  # seconds a gateway's records count as live without being prolonged
_PAGE = 500  # records written at once
_CLOSING = 1.0  # seconds for what is still to be written, and again for ending the name

_DEAD, _KEPT, _UNKNOWN = 0, 1, 2  # replies of presence_keep.lua
_KEEP = Script(PACKAGE, "presence_keep.lua")
_END = Script(PACKAGE, "presence_end.lua")
_encode = msgspec.json.Encoder().encode

log = logging.getLogger(__name__)


def departure(gateway: str, number: int) -> str:
    """Names the end of a subscription, whoever tells of it."""
    return f"stream-left:{gateway}:{number}"


@dataclass(eq=False, slots=True)
class Stay:
    """A subscription that is recorded."""

    number: int
    record: bytes
    departure: str  # its name for hooks; another one when the gateway goes on under another name
    told: Callable[[], None]  # hooks were told of the departure, which has not taken place


class Presence:
    def __init__(self, engine: Engine, commands: Commands) -> None:
        self._prefix = engine.prefix
        self._commands = commands
        self._numbers = count(1)
        self._name = secrets.token_hex(8)
        self._stays: dict[int, Stay] = {}
        self._unsaved: dict[int, None] = {}  # numbers whose records may not be as they should
        self._leased = False  # Redis knows the name
        self._due = False  # the lease is to be prolonged
        self._task: asyncio.Task[None] | None = None  # while there is anything to write
        self._closed = False

    def joined(self, membership: Membership, told: Callable[[], None]) -> Stay:
        """Record it. `told` is called if hooks hear that it has left while it has not."""
        number = next(self._numbers)
        stay = Stay(number, _encode(membership), departure(self._name, number), told)
        self._stays[number] = stay
        self._unsaved[number] = None
        self._write()
        return stay

    def left(self, stay: Stay) -> None:
        """Hooks were told of the departure."""
        if self._stays.pop(stay.number, None) is not None:
            self._unsaved[stay.number] = None
            self._write()

    def prolong(self) -> None:
        """To be called every second or so, also when nobody is there: the name is used again."""
        if self._leased or self._unsaved:
            self._due = True
            self._write()

    async def close(self) -> None:
        """What is still recorded is told of by a shard, as soon as the lease has ended."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSING)
        if self._task is not None:
            self._task.cancel()
        if self._leased and not self._stays:
            try:
                async with asyncio.timeout(_CLOSING):
                    await self._end()
            except (RedisError, Unavailable, TimeoutError) as error:
                log.debug("action=stream_presence_not_ended error=%s", error)

    # -- writing: one thing after the other --------------------------------------------------------

    def _write(self) -> None:
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._due or self._unsaved:
                self._due = False
                await self._save()
        except (RedisError, Unavailable) as error:  # again with the next one, or when the lease is prolonged
            log.debug("action=stream_presence_unrecorded error=%s", error)
        finally:
            self._task = None

    async def _save(self) -> None:
        """Prolongs the lease, too."""
        numbers = list(islice(self._unsaved, _PAGE))
        for number in numbers:
            del self._unsaved[number]
        try:
            found = await self._keep(numbers)
        except (RedisError, Unavailable):
            self._unsaved |= dict.fromkeys(numbers)
            raise
        known, self._leased = self._leased, True
        if found == _DEAD:
            await self._move()
        elif found == _UNKNOWN and known:  # Redis has lost its memory
            self._unsaved |= dict.fromkeys(self._stays)

    async def _keep(self, numbers: list[int]) -> int:
        """How the lease was found."""
        left = [number for number in numbers if number not in self._stays]
        arguments: list[str | int | bytes] = [self._name, round(LEASE * 1000), len(left), *left]
        for number in numbers:
            if number in self._stays:
                arguments += number, self._stays[number].record
        keys = names.gateways(self._prefix), names.dead(self._prefix), names.present(self._prefix, self._name)
        return int(await self._commands.run(_KEEP, keys, arguments, again=True))

    async def _move(self) -> None:
        """This gateway was taken for dead: go on under another name."""
        told = [self._stays.pop(number) for number in await self._end() if number in self._stays]
        self._name = secrets.token_hex(8)
        self._leased = False
        self._unsaved = dict.fromkeys(self._stays)
        for stay in self._stays.values():
            stay.departure = departure(self._name, stay.number)
        log.warning("action=stream_presence_lost clients=%d told=%d", len(self._stays) + len(told), len(told))
        for stay in told:
            stay.told()

    async def _end(self) -> list[int]:
        """Give the name up; returns whose hooks were told."""
        prefix, name = self._prefix, self._name
        keys = (
            names.gateways(prefix),
            names.dead(prefix),
            names.untold(prefix),
            names.present(prefix, name),
            names.told(prefix, name),
        )
        return [int(number) for number in await self._commands.run(_END, keys, (name,), again=True)]
