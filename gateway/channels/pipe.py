"""One stretch of a channel: messages from a source to a sink, a bounded number of them in between. Pure.

A channel whose ends are both on its own gateway is one pipe. An end on another gateway has a pipe there, too, and the
bus in between (`hops.py`).
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

# What waits in one pipe before its source should pause, bytes; one message of any size may exceed it.
MAX_BYTES = 2**20

OK = 1000  # close code: the stream is complete
BROKEN = 1011  # close code: it is not


class Source(Protocol):
    """Where a pipe's messages come from."""

    def taken(self, size: int) -> None:
        """A message of this many bytes has left the pipe."""

    def refused(self, code: int, reason: str, at_once: bool) -> None:
        """Nobody takes what it sends any more: end it with its next message, or `at_once`."""


class Sink(Protocol):
    """Where they go."""

    @property
    def ready(self) -> bool:
        """It takes a message now. Who was not calls `Pipe.pump` when it is."""

    def send(self, data: bytes, text: bool) -> None: ...

    def finish(self, code: int, reason: str) -> None:
        """Nothing more comes."""


class Pipe:
    """Messages in order, each once. Either side may come first, and may end first."""

    __slots__ = ("_finished", "_over", "_queue", "_refused", "_size", "capacity", "on_over", "sink", "source")

    def __init__(self, capacity: int, on_over: Callable[[], None] | None = None) -> None:
        """`capacity` in messages. `on_over` is called once when both sides have ended."""
        self.capacity = capacity
        self.on_over = on_over
        self.source: Source | None = None
        self.sink: Sink | None = None
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._size = 0  # bytes queued
        self._finished: tuple[int, str] | None = None  # how the source ended
        self._refused: tuple[int, str] | None = None  # how the sink ended
        self._over = False

    @property
    def full(self) -> bool:
        """The source should pause; it may write nevertheless."""
        return len(self._queue) >= self.capacity or self._size >= MAX_BYTES

    @property
    def roomy(self) -> bool:
        """A source that has paused should go on."""
        return len(self._queue) <= self.capacity // 2 and self._size <= MAX_BYTES // 2

    @property
    def refused(self) -> tuple[int, str] | None:
        """Code and reason, when nobody takes messages any more."""
        return self._refused

    @property
    def finished(self) -> bool:
        """The source has ended."""
        return self._finished is not None

    @property
    def alive(self) -> bool:
        """Somebody is at one of its sides."""
        return self.source is not None or self.sink is not None

    @property
    def queued(self) -> tuple[int, int]:
        """Messages and bytes that wait."""
        return len(self._queue), self._size

    # -- the source's side -------------------------------------------------------------------------

    def attach_source(self, source: Source) -> None:
        self.source = source
        if self._refused is not None:
            source.refused(*self._refused, False)

    def write(self, data: bytes, text: bool) -> None:
        if self._refused is not None or self._finished is not None:
            return
        sink = self.sink
        if sink is not None and not self._queue and sink.ready:
            sink.send(data, text)
            if self.source is not None:
                self.source.taken(len(data))
        else:
            self._queue.append((data, text))
            self._size += len(data)

    def finish(self, code: int, reason: str) -> None:
        """The source has ended; the sink hears of it after the last message."""
        if self._finished is None:
            self._finished = code, reason
            self.source = None
            self._settle()

    # -- the sink's side ---------------------------------------------------------------------------

    def attach_sink(self, sink: Sink) -> None:
        if self._refused is not None:
            sink.finish(*self._refused)
        else:
            self.sink = sink
            self.pump()

    def pump(self) -> None:
        """The sink is ready."""
        while self._queue and (sink := self.sink) is not None and sink.ready:
            data, text = self._pop()
            sink.send(data, text)
            if self.source is not None:
                self.source.taken(len(data))
        self._settle()

    def pull(self) -> tuple[bytes, bool] | None:
        """The next message, for a sink that fetches them."""
        if not self._queue:
            return None
        message = self._pop()
        if self.source is not None:
            self.source.taken(len(message[0]))
        self._settle()
        return message

    def refuse(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """The sink has ended; what waits for it is dropped."""
        if self._refused is not None:
            return
        self._refused = code, reason
        self.sink = None
        self._queue.clear()
        self._size = 0
        if self.source is not None:
            self.source.refused(code, reason, at_once)
        self._settle()

    # -- both --------------------------------------------------------------------------------------

    def fail(self, reason: str) -> None:
        """End both sides; what waits is still delivered if there is a sink."""
        source = self.source
        self.finish(BROKEN, reason)
        if source is not None:
            source.refused(BROKEN, reason, True)
        if self.sink is None:
            self.refuse(BROKEN, reason)

    def _pop(self) -> tuple[bytes, bool]:
        message = self._queue.popleft()
        self._size -= len(message[0])
        return message

    def _settle(self) -> None:
        """Hand the source's end on, when it is due."""
        if self._finished is None or self._over:
            return
        sink = self.sink
        if sink is not None and not self._queue:
            self.sink = None
            self._refused = self._finished
            sink.finish(*self._finished)
        if self._refused is not None and not self._over:
            self._over = True
            if self.on_over is not None:
                self.on_over()
