"""A channel as its home gateway knows it: who may take its ends, and who has. Pure."""

import hmac
from collections.abc import Callable
from typing import Protocol

from .ends import ReaderEnd, WriterEnd
from .pipe import Pipe


class Keeper(Protocol):
    """Where channels are kept, as they see it."""

    def connected(self, channel: "Channel") -> None:
        """A socket took one of its ends."""

    def complete(self, channel: "Channel") -> None:
        """Both ends are taken."""

    def incomplete(self, channel: "Channel") -> None:
        """One of them is not, after all."""

    def remove(self, channel: "Channel") -> None:
        """It is over."""


class Channel:
    """Made cheaply: most channels of HTTP requests are never used."""

    __slots__ = ("_home", "_pipe", "capacity", "created", "creator", "id", "key", "on_touch", "reading", "writing")

    def __init__(self, home: Keeper, id: str, key: str, capacity: int, created: float, creator: str) -> None:
        """`created`: seconds of the loop's clock; `creator`: a worker's id, or empty."""
        self._home = home
        self.id = id
        self.key = key
        self.capacity = capacity
        self.created = created
        self.creator = creator
        self.writing: WriterEnd | bool = False  # whether the writer's end is taken; the end itself if it is ours
        self.reading: ReaderEnd | bool = False
        self.on_touch: Callable[[], None] | None = None  # a socket took an end
        self._pipe: Pipe | None = None

    @property
    def writer_ref(self) -> bytes:
        """JSON of what a writer needs to know."""
        return b'{"channel_id":"%b","access_key":"%b","direction":"write"}' % (self.id.encode(), self.key.encode())

    @property
    def reader_ref(self) -> bytes:
        return b'{"channel_id":"%b","access_key":"%b","direction":"read"}' % (self.id.encode(), self.key.encode())

    @property
    def pipe(self) -> Pipe:
        if self._pipe is None:
            self._pipe = Pipe(self.capacity, lambda: self._home.remove(self))
        return self._pipe

    @property
    def touched(self) -> bool:
        """Somebody took one of its ends."""
        return bool(self.writing or self.reading)

    @property
    def being_read(self) -> bool:
        """Its reader is there, and has not been given all of it."""
        return bool(self.reading) and self.pipe.refused is None

    def opens(self, key: str) -> bool:
        """Whether this is its key; compared in constant time."""
        return hmac.compare_digest(self.key.encode(), key.encode())

    # -- ends in this process ----------------------------------------------------------------------

    def attach_writer(self) -> WriterEnd:
        """Take the writer's end."""
        self.writing = end = WriterEnd(self.pipe, opened=bool(self.reading))
        if self.reading:
            self._meet(self.reading)
        return end

    def attach_reader(self) -> ReaderEnd:
        """Take the reader's end."""
        self.reading = end = ReaderEnd(self.pipe, opened=bool(self.writing))
        if self.writing:
            self._meet(self.writing)
        return end

    # -- ends elsewhere ----------------------------------------------------------------------------

    def take(self, *, write: bool) -> bool:
        """Take an end for a socket; False if somebody has it."""
        mine, other = (self.writing, self.reading) if write else (self.reading, self.writing)
        if mine:
            return False
        if write:
            self.writing = True
        else:
            self.reading = True
        self._home.connected(self)
        if self.on_touch is not None:
            self.on_touch()
        if other:
            self._meet(other)
        return True

    def give_back(self, *, write: bool) -> None:
        """Nobody came for the end after all; somebody else may."""
        if write:
            self.writing = False
        else:
            self.reading = False
        self._home.incomplete(self)

    def _meet(self, first: WriterEnd | ReaderEnd | bool) -> None:
        """Both ends are taken; `first` was before."""
        self._home.complete(self)
        if isinstance(first, WriterEnd | ReaderEnd):
            first.was_opened()
