"""One stream client's socket: bytes in, frames parsed by websockets' Sans-I/O layer, frames made elsewhere out.

Writes are joined once per tick of the loop. A client that does not read is congested: it takes nothing until it has
read what is under way.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from websockets.exceptions import InvalidState, PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

if TYPE_CHECKING:
    from .listener import StreamListener

log = logging.getLogger(__name__)

# websockets logs every connection it closes at INFO.
_QUIET = logging.getLogger(f"{__name__}.websockets")
_QUIET.setLevel(logging.ERROR)

# What a slow peer has to read within the limit to be waited for, bytes.
_PROGRESS = 64 * 2**10


def _first(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Clients may offer credentials as a subprotocol; browsers end a connection that selects none of their offer."""
    return offered[0] if offered else None


class StreamConnection(asyncio.Protocol):
    """A socket of the stream port, from accept to close. `on_text` gets what the client says, once there is one."""

    __slots__ = (
        "_dirty",
        "_drained",
        "_listener",
        "_parts",
        "_request",
        "_stalled_since",
        "_transport",
        "_written",
        "_ws",
        "address",
        "congested",
        "last_seen",
        "on_text",
        "paused",
        "pinged",
    )

    def __init__(self, listener: "StreamListener", max_message: int) -> None:
        self._listener = listener
        self._ws = ServerProtocol(select_subprotocol=_first, max_size=max_message, logger=_QUIET)
        self._transport: asyncio.Transport | None = None
        self._dirty = False  # queued for the write at the end of this tick
        self._parts: list[bytes] | None = None  # fragments of an unfinished message
        self._request: Request | None = None  # a handshake that waits for its answer
        self._written = 0  # bytes
        self._drained = 0  # bytes the peer had taken when it last made progress
        self._stalled_since = 0.0
        self.on_text: Callable[[bytes], None] | None = None
        self.congested = False
        self.paused = False
        self.last_seen = listener.now
        self.pinged = False
        self.address = ""  # "10.0.0.7:51522"

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = stream = cast(asyncio.Transport, transport)  # uvloop's derives from nothing
        self.address = _address(stream.get_extra_info("peername"))
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
                self._request = event
                self._listener.requested(self, event)
        if ws.writes:
            self._mark()
        if ws.state is State.CLOSING or ws.eof_sent:
            self._listener.closing(self)

    def eof_received(self) -> bool:
        self._ws.receive_eof()
        self.flush()
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._request = None
        self.on_text = None
        reason = self._ws.parser_exc
        if isinstance(reason, PayloadTooBig | ProtocolError):
            log.warning("action=stream_connection_cut address=%s reason=%s", self.address, reason)
        self._listener.closed(self)

    def pause_writing(self) -> None:
        self.congested = True
        self._stalled_since = self._listener.now
        self._drained = self._written - self._buffered()
        self._listener.congested(self)

    def resume_writing(self) -> None:
        self.congested = False
        self._listener.uncongested(self)

    # -- handshake ---------------------------------------------------------------------------------

    def accept(self) -> bool:
        """Answer the handshake; False when it was none, or nobody waits for the answer any more."""
        request, self._request = self._request, None
        if request is None:
            return False
        response = self._ws.accept(request)
        self._ws.send_response(response)
        self._mark()
        return response.status_code == HTTPStatus.SWITCHING_PROTOCOLS

    def reject(self, status: HTTPStatus, text: str) -> None:
        """Answer the handshake with an error."""
        if self._request is not None:
            self._request = None
            self._ws.send_response(self._ws.reject(status, text))
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
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            self._parts = [bytes(frame.data)]
        elif opcode is Opcode.CONT and self._parts is not None:
            if frame.data:  # empty ones would count towards no limit
                self._parts.append(bytes(frame.data))
        elif opcode is Opcode.PONG:
            self.pinged = False
            return
        if frame.fin and self._parts is not None and opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            parts, self._parts = self._parts, None
            if self.on_text is not None:
                self.on_text(b"".join(parts))

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if not self.paused and self._transport is not None:
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.paused and self._transport is not None:
            self.paused = False
            self.last_seen = self._listener.now  # its silence was ours
            self._transport.resume_reading()

    # -- bytes out ---------------------------------------------------------------------------------

    def send(self, frame: bytes) -> bool:
        """Send a frame as it goes on the wire; False when the client does not keep up."""
        if self.congested or self._ws.state is not State.OPEN:
            return False
        self._ws.writes.append(frame)  # where the library itself puts the frames it makes
        self._mark()
        return True

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
        self._listener.closing(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

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
        self._written += sum(map(len, writes))
        if len(writes) == 1:
            transport.write(writes[0])
        else:
            transport.writelines(writes)  # frames are shared among clients: joining them would copy
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


def _address(peer: object) -> str:
    if not isinstance(peer, tuple):
        return ""
    host, port = str(peer[0]), peer[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
