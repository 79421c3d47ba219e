"""Ends of channels in this process: whoever serves HTTP reads and writes with them."""

import asyncio
from collections.abc import Callable

from .pipe import OK, Pipe


class ChannelClosed(Exception):
    """The channel has ended: with 1000 the stream is complete, else it is not."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class _End:
    """What both have: a pipe, and somebody at its other side, once there was."""

    __slots__ = ("_pipe", "_waiter", "on_opened", "opened")

    def __init__(self, pipe: Pipe, *, opened: bool) -> None:
        self._pipe = pipe
        self._waiter: asyncio.Future[None] | None = None
        self.opened = opened  # the other end was taken, at least once
        self.on_opened: Callable[[], None] | None = None

    def was_opened(self) -> None:
        self.opened = True
        if self.on_opened is not None:
            self.on_opened()

    async def _wait(self) -> None:
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            if self._waiter is waiter:  # a task that was cancelled may end after the next one has begun
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class WriterEnd(_End):
    """Writes; waits while the channel is full. One task at a time."""

    __slots__ = ()

    def __init__(self, pipe: Pipe, *, opened: bool) -> None:
        super().__init__(pipe, opened=opened)
        pipe.attach_source(self)

    async def send(self, data: bytes, text: bool) -> None:
        """Raises ChannelClosed when nobody reads any more."""
        pipe = self._pipe
        while pipe.full and pipe.refused is None and not pipe.finished:
            await self._wait()
        if pipe.refused is not None:
            raise ChannelClosed(*pipe.refused)
        if pipe.finished:
            raise ChannelClosed(OK, "closed")
        pipe.write(data, text)

    def close(self, code: int = OK, reason: str = "") -> None:
        """The reader hears of it after the last message."""
        self._pipe.finish(code, reason)
        self._wake()

    # -- Source ------------------------------------------------------------------------------------

    def taken(self, size: int) -> None:
        self._wake()

    def refused(self, code: int, reason: str, at_once: bool) -> None:
        self._wake()


class ReaderEnd(_End):
    """Reads. One task at a time; a cancelled `receive` loses nothing."""

    __slots__ = ("_closed", "_handed")

    def __init__(self, pipe: Pipe, *, opened: bool) -> None:
        super().__init__(pipe, opened=opened)
        self._handed: tuple[bytes, bool] | None = None  # for whoever waits in `receive`
        self._closed: tuple[int, str] | None = None
        pipe.attach_sink(self)

    async def receive(self) -> tuple[bytes, bool]:
        """The next message, and whether it is text. Raises ChannelClosed after the last one."""
        while (message := self.receive_nowait()) is None:
            if self._closed is not None:
                raise ChannelClosed(*self._closed)
            await self._wait()
        return message

    def receive_nowait(self) -> tuple[bytes, bool] | None:
        """The next message, if there is one already."""
        message, self._handed = self._handed, None
        return message if message is not None else self._pipe.pull()

    def close(self, code: int = OK, reason: str = "") -> None:
        """Read no more; the writer is ended with its next message."""
        if self._closed is None:
            self._closed = code, reason
            self._pipe.refuse(code, reason)
            self._wake()

    def cut(self, reason: str) -> None:
        """End the writer now; what it has sent is still read."""
        self._pipe.fail(reason)

    # -- Sink --------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        return self._handed is None and self._waiter is not None and not self._waiter.done()

    def send(self, data: bytes, text: bool) -> None:
        self._handed = data, text
        self._wake()

    def finish(self, code: int, reason: str) -> None:
        self._closed = code, reason
        self._wake()
