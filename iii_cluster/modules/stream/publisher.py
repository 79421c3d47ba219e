"""Telling of changes: to the clients that follow a group, and to `stream` triggers."""

from typing import NamedTuple

import msgspec

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.events.writer import EventWriter, Target
from iii_cluster.redis.commands import Commands
from iii_cluster.telemetry.tracing import Trace

from . import names
from .scripts import PUBLISH, SNAPSHOT

_encode = msgspec.json.Encoder().encode


class Notice(NamedTuple):
    """How a script tells of a change: what tell.lua takes."""

    clock: str
    channel: str
    middle: bytes
    member: str
    target: Target | None  # None: no trigger wants to know

    @property
    def keys(self) -> tuple[str, ...]:
        """The clock is given apart, its place differs."""
        return (self.target.stream,) if self.target is not None else ()

    @property
    def arguments(self) -> tuple[str | bytes | int, ...]:
        return self.channel, self.middle, *(self.target.arguments if self.target is not None else (0, b"", b""))


class Publisher:
    """`commands`: the server that carries the messages of streams."""

    def __init__(self, engine: Engine, commands: Commands, events: EventWriter) -> None:
        self._prefix = engine.prefix
        self._commands = commands
        self._events = events

    def notice(self, stream: str, group: str, item: str | None, *traces: Trace) -> Notice:
        """Item None: something sent to a whole group. `traces`: of whoever writes, one for each event."""
        return Notice(
            names.clock(self._prefix, stream, group),
            names.channel(self._prefix, stream, group),
            b',"streamName":%b,"groupId":%b,"id":%b,"event":' % (_encode(stream), _encode(group), _encode(item)),
            "g" if item is None else f"i{item}",
            self._events.target(stream, group, item or "", traces=traces),
        )

    async def publish(self, notice: Notice, *events: bytes) -> None:
        """Tell of what is not stored in this Redis: `{"type":"create","data":...}` and the like. Raises Unavailable."""
        keys = (notice.clock, *notice.keys)
        await self._commands.run(PUBLISH, keys, (*notice.arguments, notice.member, *events))
        self.wake(notice)

    def wake(self, notice: Notice) -> None:
        """A script has told of it."""
        self._events.wake(notice.target)

    async def moment(self, stream: str, group: str, after: int) -> int:
        """A timestamp, ms, later than `after`: messages with earlier ones tell of what happened before this call."""
        keys = (names.clock(self._prefix, stream, group),)
        reply = await self._commands.run(SNAPSHOT, keys, (after, 0), again=True)
        return int(reply[0])


def created(new: bytes) -> bytes:
    return b'{"type":"create","data":%b}' % new


def updated(new: bytes) -> bytes:
    return b'{"type":"update","data":%b}' % new


def deleted(old: bytes) -> bytes:
    return b'{"type":"delete","data":%b}' % old


def sent(type: str, data: bytes) -> bytes:
    return b'{"type":"event","event":{"type":%b,"data":%b}}' % (_encode(type), data)
