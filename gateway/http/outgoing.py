"""What an HTTP client takes of what is sent to it, and how its connection ends."""

import asyncio
import fcntl
import sys
import termios
from math import inf
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

# How long, s, and how much, bytes, a client may go on to send after its last answer.
_LINGER = 2.0
_MAX_LINGER = 64 * 2**20
_NO_STATE: dict[str, Any] = {}


class OutgoingPort(Protocol):
    """The port, as this half of a connection sees it."""

    loop: asyncio.AbstractEventLoop
    stall_timeout: float  # s

    @property
    def crowded(self) -> bool:
        """Whether several clients are being served."""

    def writing(self, connection: Any) -> None:
        """Call `flush` at the end of this turn."""

    def congested(self, connection: Any, on: bool) -> None: ...

    def closed(self, connection: Any) -> None: ...


class Outgoing(HttpToolsProtocol):
    """A connection that closes in good order: what was written is delivered, but only to a client that takes it."""

    # uvicorn's attributes alone fit a dictionary that shares its keys with all others.
    __slots__ = ("_ignored", "_outlet", "_stalled_since", "_unsent", "_unwritten", "closing", "deadline")

    def __init__(self, port: OutgoingPort, config: Config, state: ServerState) -> None:
        super().__init__(config, state, _NO_STATE, port.loop)
        self._outlet = port
        self.deadline = inf
        self.closing = False
        self._unwritten = b""  # goes at the end of this turn
        self._ignored = 0  # bytes
        self._unsent = 0  # bytes the client had not taken when it last made progress
        self._stalled_since = 0.0

    @property
    def who(self) -> str:
        return f"{self.client[0]}:{self.client[1]}" if self.client else "-"

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self.deadline = inf
        self._unwritten = b""
        self.parser = None  # type: ignore[assignment]  # it and this refer to each other
        self._outlet.closed(self)

    def write(self, *parts: bytes) -> None:
        """Now: the transport passes on at once whatever it is given."""
        self.flush()
        if len(parts) == 1:
            self.transport.write(parts[0])
        else:
            self.transport.writelines([part for part in parts if part])

    def write_soon(self, data: bytes) -> None:
        """A little, at the end of this turn when others are served, too: who waits for several answers is woken once,
        and asks for more at once."""
        if self._unwritten:
            self._unwritten += data
        elif self._outlet.crowded:
            self._unwritten = data
            self._outlet.writing(self)
        else:
            self.transport.write(data)

    def flush(self) -> None:
        """The end of the turn has come, or something else is to follow."""
        if self._unwritten:
            data, self._unwritten = self._unwritten, b""
            self.transport.write(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self._not_taken()
        self._stalled_since = self.loop.time()
        self._outlet.congested(self, True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._outlet.congested(self, False)

    def ignore(self, data: bytes) -> None:
        """It came after the client's last answer, or will get none."""
        self._ignored += len(data)
        if self._ignored > _MAX_LINGER:
            self.abort()

    def finish(self, *, sending: bool) -> None:
        """Close. A client that is still sending could not read its answer if its bytes were refused: they are read
        for a moment."""
        self.flush()
        self.closing = True
        self._unsent = self._not_taken()
        self.deadline = self.loop.time() + (_LINGER if sending else self._outlet.stall_timeout)
        if not sending:
            self.transport.close()
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def abort(self) -> None:
        self.flush()
        self.closing = True
        self.transport.abort()

    def still_open(self, now: float) -> None:
        """The deadline of `finish` has passed: close what lingers, cut what nobody takes."""
        left = self._not_taken()
        if 0 < left < self._unsent:
            self._unsent = left
            self.deadline = now + self._outlet.stall_timeout
        elif self.transport.is_closing():
            self.transport.abort()
        else:
            self.deadline = now + self._outlet.stall_timeout
            self.transport.close()

    def stalled(self, now: float) -> bool:
        """Whether the client has taken nothing for too long while the response is congested."""
        left = self._not_taken()
        if left < self._unsent:
            self._unsent = left
            self._stalled_since = now
        return now - self._stalled_since > self._outlet.stall_timeout

    def _not_taken(self) -> int:
        """Bytes that the client's host has not acknowledged. The kernel empties our buffer in large steps only."""
        buffered = self.transport.get_write_buffer_size()
        try:
            answer = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except (OSError, ValueError):  # it is being closed
            return buffered
        return buffered + int.from_bytes(answer, sys.byteorder)
