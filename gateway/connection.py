"""One socket of a worker port: a worker's messages to the core and frames made by the core out, or a channel's end."""

from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import urlsplit

from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from iii_cluster.config.settings import Settings
from iii_cluster.telemetry.intake import PREFIXES, Intake

from .channels.handshake import wanted
from .channels.wire import ChannelPort, ChannelWire
from .clients import reattaches
from .sockets.compression import worker_extensions
from .sockets.framing import MAX_FRAME, frames
from .sockets.rate import MessageRate
from .sockets.websocket import QUIET
from .worker import Worker

WORKER_PATH = "/"
TELEMETRY_PATH = "/otel"


def _path(target: str) -> str:
    """ "" for what is no address."""
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


class WorkerPort(ChannelPort, Protocol):
    """The worker port, as its sockets see it."""

    def on_text(self, worker: Worker, payload: bytes) -> None:
        """A whole message."""


class Connection(ChannelWire):
    """A socket of the worker port, from accept to close. Implements the core's `Outlet`."""

    __slots__ = ("_on_text", "early", "intake", "telemetry", "worker")

    def __init__(self, port: WorkerPort, settings: Settings) -> None:
        limits = settings.max_message_bytes, settings.max_frame_bytes
        super().__init__(port, ServerProtocol(extensions=worker_extensions(settings), max_size=limits, logger=QUIET))
        self._on_text = port.on_text
        self.worker: Worker | None = None
        self.telemetry = False
        self.intake: Intake | None = None  # takes its telemetry, once it was let in
        self.early: list[tuple[bytes, bool]] | None = None  # messages while it is decided whether it may come in

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

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.end is None:
            self.resume()

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
        return self.paused or super().wanted

    # -- messages in -------------------------------------------------------------------------------

    def _on_message(self, payload: bytes, *, text: bool) -> None:
        worker = self.worker
        if worker is not None:
            if text or payload[:4] not in PREFIXES:
                self._on_text(worker, payload)
            elif self.intake is not None:
                self.intake.frame(payload, self)
        elif self.end is not None:
            self.end.on_message(payload, text)
        elif self.early is not None:
            self.early.append((payload, text))  # at most what was read at once: the socket is paused
        elif self.intake is not None and not text and payload[:4] in PREFIXES:
            self.intake.frame(payload, self)

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
        elif len(frame) <= MAX_FRAME:
            ws.send_text(frame)
        else:
            self._send_fragments(frame)
        if not self._dirty:
            self._mark()

    def _send_fragments(self, frame: bytes) -> None:
        ws = self._ws
        ws.send_text(frame[:MAX_FRAME], fin=False)
        for at in range(MAX_FRAME, len(frame), MAX_FRAME):
            ws.send_continuation(frame[at : at + MAX_FRAME], fin=at + MAX_FRAME >= len(frame))
