"""One worker socket: bytes in, frames parsed by websockets' Sans-I/O layer, messages to the core, bytes out.

Everything happens inside `data_received`; writes are joined once per tick of the loop.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from websockets.exceptions import InvalidState, PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from iii_cluster.config.settings import Settings

from .clients import reattaches
from .worker import Worker

if TYPE_CHECKING:
    from .listener import Listener

log = logging.getLogger(__name__)

# websockets logs every connection it closes at INFO; ours are logged by the core.
_QUIET = logging.getLogger(f"{__name__}.websockets")
_QUIET.setLevel(logging.ERROR)

# Prefixes of binary telemetry frames.
TELEMETRY = (b"OTLP", b"MTRC", b"LOGS")

WORKER_PATH = "/"
TELEMETRY_PATH = "/otel"

# Largest frame sent; published clients refuse frames above 16 MiB, so larger messages are fragmented.
_FRAGMENT = 8 * 2**20
# What a slow peer has to read within the limit to be waited for, bytes.
_PROGRESS = 64 * 2**10
# After a read of this many bytes others get their turn; the loop would go on reading a flooding socket for megabytes.
_LONG_READ = 64 * 2**10


class Connection(asyncio.Protocol):
    """A socket of the worker port, from accept to close. Implements the core's `Outlet`."""

    __slots__ = (
        "_dirty",
        "_listener",
        "_parts",
        "_pauses",
        "_request",
        "_transport",
        "_written",
        "_ws",
        "address",
        "congested",
        "drained",
        "last_seen",
        "pinged",
        "stalled_since",
        "telemetry",
        "worker",
    )

    def __init__(self, listener: "Listener", settings: Settings) -> None:
        self._listener = listener
        self._ws = ServerProtocol(max_size=(settings.max_message_bytes, settings.max_frame_bytes), logger=_QUIET)
        self._transport: asyncio.Transport | None = None
        self._dirty = False  # queued for the write at the end of this tick
        self._pauses = 0
        self._parts: list[bytes] | None = None  # fragments of an unfinished message
        self._request: Request | None = None  # a handshake that waits for its turn
        self.worker: Worker | None = None
        self.telemetry = False
        self.congested = False
        self.last_seen = listener.now
        self.pinged = False
        self.stalled_since = 0.0
        self.drained = 0  # bytes the peer had taken when it last made progress
        self._written = 0  # bytes
        self.address = ""

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = stream = cast(asyncio.Transport, transport)  # uvloop's derives from nothing
        peer = stream.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        stream.set_write_buffer_limits(high=self._listener.settings.send_high_water)
        self._listener.opened(self)

    def data_received(self, data: bytes) -> None:
        self.last_seen = self._listener.now
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
            self._listener.closing(self)
        elif len(data) >= _LONG_READ:
            self._listener.breathe(self)

    def eof_received(self) -> bool:
        self._ws.receive_eof()
        self.flush()
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parts = None
        reason = self._ws.parser_exc
        if isinstance(reason, PayloadTooBig | ProtocolError):
            worker = self.worker.id if self.worker is not None else "none"
            log.warning("action=connection_cut worker=%s address=%s reason=%s", worker, self.address, reason)
        self._listener.closed(self)

    def pause_writing(self) -> None:
        self.congested = True
        self.stalled_since = self._listener.now
        self.drained = self._written - self._buffered()
        self.pause()  # who does not read its answers asks no more questions
        self._listener.congested(self)

    def resume_writing(self) -> None:
        self.congested = False
        self.resume()
        self._listener.uncongested(self)

    # -- handshake ---------------------------------------------------------------------------------

    def _on_request(self, request: Request) -> None:
        path = urlsplit(request.path).path
        ws = self._ws
        if path not in (WORKER_PATH, TELEMETRY_PATH):
            ws.send_response(ws.reject(HTTPStatus.NOT_FOUND, "Not found\n"))
            return
        self.telemetry = path == TELEMETRY_PATH
        self._request = request
        if not self._listener.accepting:
            self.refuse()
        elif self._listener.admits(self):
            self.admit()

    def admit(self) -> None:
        """Answer the handshake: its turn has come."""
        request, self._request = self._request, None
        if request is None:
            return
        response = self._ws.accept(request)
        self._ws.send_response(response)
        self._mark()
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._listener.handshaken(self)

    def refuse(self) -> None:
        """Answer the handshake with 503: other gateways take it."""
        self._request = None
        self._ws.send_response(self._ws.reject(HTTPStatus.SERVICE_UNAVAILABLE, "Draining, try another gateway\n"))
        self._mark()

    @property
    def open(self) -> bool:
        return self._ws.state is State.OPEN

    @property
    def connecting(self) -> bool:
        return self._ws.state is State.CONNECTING

    @property
    def lost(self) -> bool:
        """The end was not the client's wish: it broke off, or was sent away."""
        return not self._ws.close_rcvd_then_sent

    @property
    def in_order(self) -> bool:
        """The client answered our Close: it has read all that was sent, and all that it sent has been read."""
        return self.lost and self._ws.close_rcvd is not None

    @property
    def busy(self) -> bool:
        """Calls of this worker, or on it, are in flight."""
        worker = self.worker
        return worker is not None and bool(worker.calling or worker.serving)

    @property
    def serving(self) -> bool:
        """Calls on this worker are in flight."""
        return self.worker is not None and bool(self.worker.serving)

    @property
    def reattaches(self) -> bool:
        """Whether answers find the client on its next connection."""
        window = self._listener.settings.reattach_window
        return window > 0 and self.worker is not None and reattaches(self.worker)

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
            if frame.data:  # empty ones would count towards no limit
                self._parts.append(bytes(frame.data))
            if frame.fin:
                parts, self._parts = self._parts, None
                self._on_message(b"".join(parts[1:]), text=parts[0] == b"t")
        elif opcode is Opcode.PONG:
            self.pinged = False

    def _on_message(self, payload: bytes, *, text: bool) -> None:
        if self.telemetry or (not text and payload[:4] in TELEMETRY):
            return  # accepted and discarded
        worker = self.worker
        if worker is not None:
            self._listener.on_text(worker, payload)

    # -- Outlet ------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        ws = self._ws
        if ws.state is not State.OPEN:
            return
        if len(frame) <= _FRAGMENT:
            ws.send_text(frame)
        else:
            self._send_fragments(frame)
        if not self._dirty:
            self._mark()

    def _send_fragments(self, frame: bytes) -> None:
        ws = self._ws
        ws.send_text(frame[:_FRAGMENT], fin=False)
        for at in range(_FRAGMENT, len(frame), _FRAGMENT):
            ws.send_continuation(frame[at : at + _FRAGMENT], fin=at + _FRAGMENT >= len(frame))

    def ping(self) -> None:
        if self.open:
            self.pinged = True
            self._ws.send_ping(b"")
            self._mark()

    def pause(self) -> None:
        self._pauses += 1
        if self._pauses == 1 and self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        self._pauses -= 1
        if self._pauses == 0 and self._transport is not None:
            self.last_seen = self._listener.now  # its silence was ours
            self._transport.resume_reading()

    @property
    def paused(self) -> bool:
        return self._pauses > 0

    def close(self, code: int, reason: str) -> None:
        try:
            self._ws.send_close(code, reason)
        except InvalidState:
            return
        self._mark()
        self._listener.closing(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- bytes out ---------------------------------------------------------------------------------

    def _mark(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._listener.dirty(self)

    def flush(self) -> None:
        """Write what this tick has queued."""
        self._dirty = False
        transport = self._transport
        writes = self._ws.data_to_send()
        if transport is None or not writes:
            return
        data = writes[0] if len(writes) == 1 else b"".join(writes)
        self._written += len(data)
        transport.write(data)
        if writes[-1] == b"":  # the end of the stream
            transport.close()

    def stalled(self, now: float, limit: float) -> bool:
        """True when the peer has read next to nothing for `limit` seconds while it is congested."""
        drained = self._written - self._buffered()
        if drained >= self.drained + _PROGRESS:
            self.drained = drained
            self.stalled_since = now
        return now - self.stalled_since > limit

    def _buffered(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0
