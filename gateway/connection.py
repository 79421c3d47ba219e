"""One socket of a worker port: a worker's messages to the core and frames made by the core out, or a channel's end."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import urlsplit

from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from iii_cluster.config.settings import Settings

from .channels.handshake import Wanted, wanted
from .channels.sockets import HIGH_WATER, PATIENCE, SocketEnd, frames
from .clients import reattaches
from .sockets.compression import worker_extensions
from .sockets.rate import MessageRate
from .sockets.websocket import QUIET, Keeper, WebSocket
from .worker import Worker

# Prefixes of binary telemetry frames.
TELEMETRY = (b"OTLP", b"MTRC", b"LOGS")

WORKER_PATH = "/"
TELEMETRY_PATH = "/otel"

# Largest frame sent; published clients refuse frames above 16 MiB, so larger messages are fragmented.
_FRAGMENT = 8 * 2**20
# What a channel sends in one tick before it is written, bytes.
_BATCH = 64 * 2**10
# Pieces below this size are joined before they are written: a copy costs less than a buffer of its own, bytes.
_SMALL = 512


def _path(target: str) -> str:
    """ "" for what is no address."""
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


class WorkerPort(Keeper, Protocol):
    """The worker port, as its sockets see it."""

    def entered(self, connection: "Connection") -> None:
        """Its handshake as a channel's end is done."""

    def on_text(self, worker: Worker, payload: bytes) -> None:
        """A whole message."""


class Connection(WebSocket):
    """A socket of the worker port, from accept to close. Implements the core's `Outlet`."""

    __slots__ = ("_batch", "_entered", "_finished", "_on_text", "asked", "early", "end", "telemetry", "worker")

    def __init__(self, port: WorkerPort, settings: Settings) -> None:
        limits = settings.max_message_bytes, settings.max_frame_bytes
        super().__init__(port, ServerProtocol(extensions=worker_extensions(settings), max_size=limits, logger=QUIET))
        self._on_text = port.on_text
        self._entered = port.entered
        self.worker: Worker | None = None
        self.telemetry = False
        self.early: list[tuple[bytes, bool]] | None = None  # messages while it is decided whether it may come in
        self.asked: Wanted | None = None  # the end of a channel, in its handshake
        self.end: SocketEnd | None = None  # what it is, if it is no worker
        self._batch = 0  # bytes of channel messages queued in this tick
        self._finished = False  # nothing is written any more

    @property
    def who(self) -> str:
        if self.asked is not None:
            return f"channel={self.asked.id} {super().who}"
        return f"worker={self.worker.id if self.worker is not None else 'none'} {super().who}"

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.end is None:
            self.pause()  # who does not read its answers asks no more questions
        else:
            self.end.on_congestion(True)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.end is None:
            self.resume()
        else:
            self.end.on_congestion(False)

    def _on_request(self, request: Request) -> None:
        path = _path(request.path)
        self.telemetry = path == TELEMETRY_PATH
        self.asked = wanted(request.path)
        if self.asked is not None or path in (WORKER_PATH, TELEMETRY_PATH):
            super()._on_request(request)
        else:
            self.request = request
            self.reject(HTTPStatus.NOT_FOUND, "Not found\n")

    def limit(self, rate: MessageRate) -> None:
        """Count its messages."""
        take = self._on_text

        def on_text(worker: Worker, payload: bytes) -> None:
            take(worker, payload)
            rate.took()

        self._on_text = on_text

    # -- how it is, and how it ended ---------------------------------------------------------------

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
        window = self._port.settings.reattach_window
        return window > 0 and self.worker is not None and reattaches(self.worker)

    @property
    def wanted(self) -> bool:
        return self.paused or (self.end is not None and self._reads_on(self.end))

    def _reads_on(self, end: SocketEnd) -> bool:
        """We have closed a reader's socket, and it may still read what came before."""
        return end.patient and self._ws.close_rcvd is None and self._port.now - self.last_seen < PATIENCE

    def stalled(self, now: float, limit: float) -> bool:
        if self.end is None:
            return super().stalled(now, limit)
        drained = self._written - self._buffered()
        if drained > self._drained:  # any progress will do: only its own channel waits
            self._drained = drained
            self._stalled_since = now
        return now - self._stalled_since > PATIENCE

    def ping(self) -> None:
        super().ping()
        if self.end is not None and self.end.reading:  # no answer means nothing, TCP finds out whether it lives
            self.pinged = False
            self.last_seen = self._port.now

    # -- messages in -------------------------------------------------------------------------------

    def _on_message(self, payload: bytes, *, text: bool) -> None:
        worker = self.worker
        if worker is not None:
            if text or payload[:4] not in TELEMETRY:  # that is accepted and discarded
                self._on_text(worker, payload)
        elif self.end is not None:
            self.end.on_message(payload, text)
        elif self.early is not None:
            self.early.append((payload, text))  # at most what was read at once: the socket is paused

    def let_in(self) -> None:
        """Go on with what waited, and read on."""
        early, self.early = self.early or [], None
        for payload, text in early:
            self._on_message(payload, text=text)
        self.resume()

    # -- Outlet ------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        ws = self._ws
        if ws.state is not State.OPEN:
            return
        if not ws.extensions:
            ws.writes += cast(list[bytes], frames(frame, True))  # as the library would, in a third of the time
        elif len(frame) <= _FRAGMENT:
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

    # -- an end of a channel -----------------------------------------------------------------------

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

    @property
    def farewell(self) -> tuple[int, str]:
        """The client's Close: code and reason, 1005 when it gave none; 0 when the client did not begin to close."""
        close = self._ws.close_rcvd
        if close is None or not self._ws.close_rcvd_then_sent:
            return 0, ""
        return close.code, close.reason

    def _pinged_in_vain(self) -> None:
        if self.end is not None:
            self.end.on_ping()

    def send_message(self, data: bytes, text: bool) -> None:
        """For a channel's reader."""
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

    def _write(self, transport: asyncio.Transport, writes: Sequence[bytes]) -> None:
        if self.end is None:
            super()._write(transport, writes)
        elif not self._finished:
            if self._batch < _SMALL * len(writes):
                super()._write(transport, writes)
            else:
                transport.writelines(writes)  # joining them would copy
            self._batch = 0
