"""A WebSocket that an end of a channel may have: what it can do for that end."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, cast

from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.sockets.framing import frames
from gateway.sockets.websocket import Keeper, WebSocket

from .handshake import Wanted
from .sockets import HIGH_WATER, PATIENCE, SocketEnd

# What a channel sends in one tick before it is written, bytes.
_BATCH = 64 * 2**10
# Pieces below this size are joined before they are written: a copy costs less than a buffer of its own, bytes.
_SMALL = 512


class ChannelPort(Keeper, Protocol):
    """The port of a socket that may be an end of a channel."""

    def entered(self, socket: Any) -> None:
        """Its handshake as a channel's end is done."""


class ChannelWire(WebSocket):
    """Implements `Wire`. Until it has an end it is like any other socket."""

    __slots__ = ("_batch", "_entered", "_finished", "asked", "end")

    def __init__(self, port: ChannelPort, protocol: ServerProtocol) -> None:
        super().__init__(port, protocol)
        self._entered = port.entered
        self.asked: Wanted | None = None  # the end of a channel, in its handshake
        self.end: SocketEnd | None = None
        self._batch = 0  # bytes of messages queued in this tick
        self._finished = False  # nothing is written any more

    def enter(self) -> bool:
        """Answer the handshake; False as of `accept`."""
        self._ws.available_extensions = None  # compression would cost more than it saves
        if not self.accept():
            return False
        self._entered(self)
        return True

    def become(self, end: SocketEnd) -> None:
        """Be an end of a channel from now on."""
        self.end = end
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=HIGH_WATER)

    # -- Wire --------------------------------------------------------------------------------------

    def send_message(self, data: bytes, text: bool) -> None:
        ws = self._ws
        if ws.state is not State.OPEN:
            return
        ws.writes += cast(list[bytes], frames(data, text))  # a transport takes views as well
        self._batch += len(data)
        if self._batch >= _BATCH:
            self.flush()
        elif not self._dirty:
            self._mark()

    def finish(self, code: int, reason: str) -> None:
        """Close it, and send the end of the stream as well: a client may read slowly, and know no closing handshake."""
        self.close(code, reason)
        self.flush()
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()
            self._finished = True

    # -- what an end changes -----------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.end is not None:
            self.end.on_congestion(True)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.end is not None:
            self.end.on_congestion(False)

    def _pinged_in_vain(self) -> None:
        if self.end is not None:
            self.end.on_ping()

    def _write(self, transport: asyncio.Transport, writes: Sequence[bytes]) -> None:
        if self.end is None:
            super()._write(transport, writes)
        elif not self._finished:
            if self._batch < _SMALL * len(writes):
                super()._write(transport, writes)
            else:
                transport.writelines(writes)  # joining them would copy
            self._batch = 0

    def ping(self) -> None:
        super().ping()
        if self.end is not None and self.end.reading:  # no answer means nothing, TCP finds out whether it lives
            self.pinged = False
            self.last_seen = self._port.now

    def stalled(self, now: float, limit: float) -> bool:
        if self.end is None:
            return super().stalled(now, limit)
        drained = self._written - self._buffered()
        if drained > self._drained:  # any progress will do: only its own channel waits
            self._drained = drained
            self._stalled_since = now
        return now - self._stalled_since > PATIENCE

    # -- how it ended ------------------------------------------------------------------------------

    @property
    def wanted(self) -> bool:
        return self.end is not None and self._reads_on(self.end)

    def _reads_on(self, end: SocketEnd) -> bool:
        """We have closed a reader's socket, and it may still read what came before."""
        return end.patient and self._ws.close_rcvd is None and self._port.now - self.last_seen < PATIENCE

    @property
    def farewell(self) -> tuple[int, str]:
        """The client's Close: code and reason, 1005 when it gave none; 0 when the client did not begin to close."""
        close = self._ws.close_rcvd
        if close is None or not self._ws.close_rcvd_then_sent:
            return 0, ""
        return close.code, close.reason
