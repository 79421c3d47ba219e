"""The scripts of the reading end, with typed arguments and replies."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from iii_cluster.redis.commands import Commands
from iii_cluster.redis.script import Script

from .outbox import fences_of, stream_of

PAGE_ENTRIES = 256
PAGE_BYTES = 4 * 2**20

_HERE = "iii_cluster.modules.events"
_READ = Script(_HERE, "read.lua")
_DONE = Script(_HERE, "done.lua")
_LENGTHS = Script(_HERE, "lengths.lua")

EntryId = tuple[int, int]


class Fenced(Exception):
    """A later owner has taken the outbox over."""


class Entry(NamedTuple):
    """One event. `triggers`: a JSON array of ids, b"" when the writer did not know them. `context`: see context.py."""

    id: EntryId
    lane: bytes
    triggers: bytes
    event: bytes | None  # None: not kept in memory until its turn
    context: bytes = b""

    @property
    def size(self) -> int:
        return len(self.event or b"") + len(self.context)


class Page(NamedTuple):
    newest: EntryId  # that ever was in this outbox
    entries: list[Entry]


class Scripts:
    """All may raise Unavailable and ResponseError."""

    def __init__(self, commands: Commands, prefix: str) -> None:
        self._commands = commands
        self._prefix = prefix
        self._fences = fences_of(prefix)

    async def read(self, outbox: str, token: int, after: EntryId | None) -> Page:
        """`after` None: nothing was read yet. Raises Fenced."""
        reply = await self._run(
            _READ, outbox, token, "-" if after is None else text_of(after), PAGE_ENTRIES, PAGE_BYTES
        )
        return Page(_id(reply[0]), [Entry(_id(id), *fields) for id, *fields in reply[1:]])

    async def done(self, outbox: str, token: int, id: EntryId) -> None:
        """Raises Fenced."""
        await self._run(_DONE, outbox, token, text_of(id))

    async def event(self, outbox: str, id: EntryId) -> tuple[bytes, bytes] | None:
        """The event and its context. None: it is there no more."""
        at = text_of(id)
        reply = await self._commands.execute(b"XRANGE", stream_of(self._prefix, outbox), at, at, again=True)
        if not reply:
            return None
        fields = reply[0][1]
        return fields[5], fields[7] if len(fields) > 7 else b""

    async def lengths(self, outboxes: Sequence[str]) -> list[int]:
        keys = [stream_of(self._prefix, outbox) for outbox in outboxes]
        lengths: list[int] = await self._commands.run(_LENGTHS, keys, again=True)
        return lengths

    async def _run(self, script: Script, outbox: str, *arguments: str | int) -> list[Any]:
        keys = [stream_of(self._prefix, outbox), self._fences]
        try:
            reply: list[Any] = await self._commands.run(script, keys, [outbox, *arguments], again=True)
        except ResponseError as error:
            if str(error).startswith("FENCED"):
                raise Fenced(str(error)) from None
            raise
        return reply


def text_of(id: EntryId) -> str:
    return f"{id[0]}-{id[1]}"


def _id(text: bytes) -> EntryId:
    ms, _, number = text.partition(b"-")
    return int(ms), int(number)
