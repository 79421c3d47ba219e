"""A channel as its home gateway knows it: who may take its ends, and who has. Pure."""

import hmac
from collections.abc import Callable

from .ends import ReaderEnd, WriterEnd
from .pipe import Pipe


class Channel:
    """Made cheaply: most channels of HTTP requests are never used."""

    __slots__ = ("_pipe", "capacity", "created", "creator", "id", "key", "on_over", "on_taken", "reading", "writing")

    def __init__(
        self, id: str, key: str, capacity: int, created: float, creator: str, on_over: Callable[["Channel"], None]
    ) -> None:
        """`created`: seconds of the loop's clock; `creator`: a worker's id, or empty."""
        self.id = id
        self.key = key
        self.capacity = capacity
        self.created = created
        self.creator = creator
        self.on_over = on_over
        self.on_taken: Callable[[Channel], None] | None = None  # both ends are
        self.writing: WriterEnd | bool = False  # whether the writer's end is taken; the end itself if it is ours
        self.reading: ReaderEnd | bool = False
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
            self._pipe = Pipe(self.capacity, lambda: self.on_over(self))
        return self._pipe

    @property
    def touched(self) -> bool:
        """Somebody took one of its ends."""
        return bool(self.writing or self.reading)

    def opens(self, key: str) -> bool:
        """Whether this is its key; compared in constant time."""
        return hmac.compare_digest(self.key.encode(), key.encode())

    # -- ends in this process ----------------------------------------------------------------------

    def attach_writer(self) -> WriterEnd:
        """Take the writer's end."""
        self.writing = end = WriterEnd(self.pipe, opened=bool(self.reading))
        return end

    def attach_reader(self) -> ReaderEnd:
        """Take the reader's end."""
        self.reading = end = ReaderEnd(self.pipe, opened=bool(self.writing))
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
        if other and self.on_taken is not None:
            self.on_taken(self)
        if isinstance(other, WriterEnd | ReaderEnd):
            other.was_opened()
        return True
