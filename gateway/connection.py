"""One worker socket: messages to the core, frames made by the core out."""

from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from iii_cluster.config.settings import Settings

from .clients import reattaches
from .sockets.websocket import QUIET, Keeper, WebSocket
from .worker import Worker

# Prefixes of binary telemetry frames.
TELEMETRY = (b"OTLP", b"MTRC", b"LOGS")

WORKER_PATH = "/"
TELEMETRY_PATH = "/otel"

# Largest frame sent; published clients refuse frames above 16 MiB, so larger messages are fragmented.
_FRAGMENT = 8 * 2**20


class WorkerPort(Keeper, Protocol):
    """The worker port, as its sockets see it."""

    def on_text(self, worker: Worker, payload: bytes) -> None:
        """A whole message."""


class Connection(WebSocket):
    """A socket of the worker port, from accept to close. Implements the core's `Outlet`."""

    __slots__ = ("_on_text", "telemetry", "worker")

    def __init__(self, port: WorkerPort, settings: Settings) -> None:
        limits = settings.max_message_bytes, settings.max_frame_bytes
        super().__init__(port, ServerProtocol(max_size=limits, logger=QUIET))
        self._on_text = port.on_text
        self.worker: Worker | None = None
        self.telemetry = False

    @property
    def who(self) -> str:
        return f"worker={self.worker.id if self.worker is not None else 'none'} {super().who}"

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self.pause()  # who does not read its answers asks no more questions
        super().pause_writing()

    def resume_writing(self) -> None:
        self.resume()
        super().resume_writing()

    def _on_request(self, request: Request) -> None:
        path = urlsplit(request.path).path
        self.telemetry = path == TELEMETRY_PATH
        if path in (WORKER_PATH, TELEMETRY_PATH):
            super()._on_request(request)
        else:
            self.request = request
            self.reject(HTTPStatus.NOT_FOUND, "Not found\n")

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
        return self.paused

    # -- messages in -------------------------------------------------------------------------------

    def _on_message(self, payload: bytes, *, text: bool) -> None:
        if self.telemetry or (not text and payload[:4] in TELEMETRY):
            return  # accepted and discarded
        worker = self.worker
        if worker is not None:
            self._on_text(worker, payload)

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
