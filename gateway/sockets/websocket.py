"""One WebSocket: bytes in, frames parsed by websockets' Sans-I/O layer, messages to the subclass, bytes out.

Everything happens inside `data_received`; writes are joined once per tick of the loop.
"""

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Protocol, cast

from websockets.exceptions import InvalidState, PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from iii_cluster.config.settings import Settings

log = logging.getLogger(__name__)

# websockets logs every connection it closes at INFO; ours are logged by who knows what they mean.
QUIET = logging.getLogger(f"{__name__}.websockets")
QUIET.setLevel(logging.ERROR)

# What a slow peer has to read within the limit to be waited for, bytes.
_PROGRESS = 64 * 2**10
# After a read of this many bytes others get their turn; the loop would go on reading a flooding socket for megabytes.
_LONG_READ = 64 * 2**10
# Of compressed data this much is taken per tick of the loop: it may be a thousand times as much when it is inflated.
_SLICE = 8 * 2**10
# Smaller fragments of a message are put together as they come, bytes.
_SMALL_FRAGMENT = 1024


class Keeper(Protocol):
    """The port of a socket, as the socket sees it."""

    label: str  # of sockets, in logs
    now: float  # s; moved once a second
    settings: Settings

    def opened(self, socket: Any) -> None: ...

    def requested(self, socket: Any) -> None:
        """A handshake has arrived: `accept` or `reject` it."""

    def closing(self, socket: Any) -> None: ...

    def closed(self, socket: Any) -> None: ...

    def congested(self, socket: Any) -> None: ...

    def uncongested(self, socket: Any) -> None: ...

    def breathe(self, socket: Any) -> None:
        """Let others have their turn before more is read."""

    def dirty(self, socket: Any) -> None:
        """Call `flush` at the end of this tick."""


class WebSocket(asyncio.Protocol):
    """From accept to close."""

    __slots__ = (
        "_backlog",
        "_dirty",
        "_drained",
        "_ended",
        "_parts",
        "_pauses",
        "_port",
        "_stalled_since",
        "_transport",
        "_written",
        "_ws",
        "address",
        "congested",
        "last_seen",
        "pinged",
        "request",
    )

    def __init__(self, port: Keeper, protocol: ServerProtocol) -> None:
        self._port = port
        self._ws = protocol
        self._transport: asyncio.Transport | None = None
        self._dirty = False  # queued for the write at the end of this tick
        self._pauses = 0
        self._backlog: memoryview | None = None  # compressed data that waits for its turn; reading is paused meanwhile
        self._ended = False  # the stream's end was read while there was a backlog
        self._parts: list[bytes | bytearray] | None = None  # kind and fragments of an unfinished message
        self._written = 0  # bytes
        self._drained = 0  # bytes the peer had taken when it last made progress
        self._stalled_since = 0.0
        self.request: Request | None = None  # a handshake that waits for its answer
        self.congested = False
        self.last_seen = port.now
        self.pinged = False
        self.address = ""

    # -- for subclasses ----------------------------------------------------------------------------

    def _on_message(self, payload: bytes, *, text: bool) -> None:
        raise NotImplementedError

    def _pinged_in_vain(self) -> None:
        """A ping came from a peer that does not read the answers."""

    def _write(self, transport: asyncio.Transport, writes: Sequence[bytes]) -> None:
        transport.write(writes[0] if len(writes) == 1 else b"".join(writes))

    def _address(self, peer: tuple[Any, ...]) -> str:
        return str(peer[0])

    @property
    def who(self) -> str:
        """For logs."""
        return f"address={self.address}"

    @property
    def wanted(self) -> bool:
        """What it may have sent before its Close is worth waiting for."""
        return False

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = stream = cast(asyncio.Transport, transport)  # uvloop's derives from nothing
        peer = stream.get_extra_info("peername")
        self.address = self._address(peer) if isinstance(peer, tuple) else ""
        stream.set_write_buffer_limits(high=self._port.settings.send_high_water)
        self._port.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._ws.extensions and (len(data) > _SLICE or self._backlog):
            self._receive_slowly(data)
        else:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        self.last_seen = self._port.now
        ws = self._ws
        ws.receive_data(data)
        for event in ws.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            elif isinstance(event, Request):
                self._on_request(event)
        if ws.writes and not self._dirty:
            self._mark()
        if ws.state is State.CLOSING or ws.eof_sent:
            self._port.closing(self)
        elif len(data) >= _LONG_READ:
            self._port.breathe(self)

    def _receive_slowly(self, data: bytes) -> None:
        if self._backlog:
            self._backlog = memoryview(bytes(self._backlog) + data)
            return
        self._backlog = memoryview(data)
        self.pause()
        self._receive_more()

    def _receive_more(self) -> None:
        """One slice, unless somebody else wants nothing to be read; then `resume` goes on."""
        backlog = self._backlog
        if backlog and self._pauses == 1:
            self._backlog = backlog[_SLICE:]
            self._receive(bytes(backlog[:_SLICE]))
            if not self._backlog:
                self.resume()
                if self._ended:
                    self._end()
            elif self._pauses == 1:
                asyncio.get_running_loop().call_soon(self._receive_more)

    def eof_received(self) -> bool:
        if self._backlog:  # TLS reads on when it is paused
            self._ended = True
        else:
            self._end()
        return False  # the transport closes itself

    def _end(self) -> None:
        self._ws.receive_eof()
        self.flush()
        if self._ended and self._transport is None:
            self._lost()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not (self._ended and self._backlog) or self.congested:
            self._lost()

    def _lost(self) -> None:
        """Nothing of it is to be taken any more."""
        self._backlog = None
        self._parts = None
        self.request = None
        reason = self._ws.parser_exc
        if isinstance(reason, PayloadTooBig | ProtocolError):
            log.warning("action=%s_cut %s reason=%s", self._port.label, self.who, reason)
        self._port.closed(self)

    def pause_writing(self) -> None:
        self.congested = True
        self._stalled_since = self._port.now
        self._drained = self._written - self._buffered()
        self._port.congested(self)

    def resume_writing(self) -> None:
        self.congested = False
        self._port.uncongested(self)

    # -- handshake ---------------------------------------------------------------------------------

    def _on_request(self, request: Request) -> None:
        self.request = request
        self._port.requested(self)

    def accept(self) -> bool:
        """Answer the handshake; False when it was none, or nobody waits for the answer any more."""
        request, self.request = self.request, None
        if request is None:
            return False
        response = self._ws.accept(request)
        self._ws.send_response(response)
        self._mark()
        return response.status_code == HTTPStatus.SWITCHING_PROTOCOLS

    def reject(self, status: HTTPStatus, text: str, header: tuple[str, str] | None = None) -> None:
        """Answer the handshake with an error, and with a header of its own."""
        if self.request is not None:
            self.request = None
            response = self._ws.reject(status, text)
            if header is not None:
                response.headers[header[0]] = header[1]
            self._ws.send_response(response)
            self._mark()

    @property
    def open(self) -> bool:
        return self._ws.state is State.OPEN

    @property
    def connecting(self) -> bool:
        return self._ws.state is State.CONNECTING

    # -- frames in ---------------------------------------------------------------------------------

    def _on_frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.TEXT and frame.fin:
            self._on_message(bytes(frame.data), text=True)
        elif opcode is Opcode.BINARY and frame.fin:
            self._on_message(bytes(frame.data), text=False)
        elif opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            self._parts = [b"t" if opcode is Opcode.TEXT else b"b", bytes(frame.data)]
        elif opcode is Opcode.CONT and self._parts is not None:
            _append(self._parts, bytes(frame.data))
            if frame.fin:
                parts, self._parts = self._parts, None
                self._on_message(b"".join(parts[1:]), text=parts[0] == b"t")
        elif opcode is Opcode.PONG:
            self.pinged = False
        elif opcode is Opcode.PING and self.congested:
            self._pinged_in_vain()

    def pause(self) -> None:
        """Read nothing until `resume` was called as often."""
        self._pauses += 1
        if self._pauses == 1 and self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        self._pauses -= 1
        if self._pauses == 0 and self._transport is not None:
            self.last_seen = self._port.now  # its silence was ours
            self._transport.resume_reading()
        elif self._pauses == 1 and self._backlog:
            asyncio.get_running_loop().call_soon(self._receive_more)

    @property
    def paused(self) -> bool:
        return self._pauses > 0

    # -- frames and bytes out ----------------------------------------------------------------------

    def ping(self) -> None:
        if self.open:
            self.pinged = True
            self._ws.send_ping(b"")
            self._mark()

    def close(self, code: int, reason: str) -> None:
        try:
            self._ws.send_close(code, reason)
        except InvalidState:
            return
        self._mark()
        self._port.closing(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _mark(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._port.dirty(self)

    def flush(self) -> None:
        """Write what this tick has queued."""
        self._dirty = False
        transport = self._transport
        writes = self._ws.data_to_send()
        if transport is None or not writes:
            return
        self._written += sum(map(len, writes))
        self._write(transport, writes)
        if writes[-1] == b"":  # the end of the stream
            transport.close()

    def stalled(self, now: float, limit: float) -> bool:
        """True when the peer has read next to nothing for `limit` seconds while it is congested."""
        drained = self._written - self._buffered()
        if drained >= self._drained + _PROGRESS:
            self._drained = drained
            self._stalled_since = now
        return now - self._stalled_since > limit

    def _buffered(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0


def _append(parts: list[bytes | bytearray], data: bytes) -> None:
    """The limit of a message counts bytes, so small fragments must not take objects of their own."""
    last = parts[-1]
    if len(data) >= _SMALL_FRAGMENT:
        parts.append(data)
    elif isinstance(last, bytearray):
        last += data
    else:
        parts.append(bytearray(data))
