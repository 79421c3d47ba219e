"""The console of one coordinator: it serves whether this one leads or not, through all incarnations of its node."""

import logging
import socket

from iii_cluster.access.tls import tls_files
from iii_cluster.config.ports import console_port
from iii_cluster.node.asgi import asgi_config
from iii_cluster.node.node import Node
from iii_cluster.node.serving import Serving
from iii_cluster.routing.firing import Firing

from . import assets
from .app import Application
from .connection import ConsoleConnection
from .filters import read_filter
from .gate import READ_ONLY, Gate
from .live import MAX_FRAME, Live
from .reach import Reach
from .reading import Reading, Topic
from .reference import Reference
from .routes import Handler, Request, Route, Routes
from .watcher import Watcher
from .writing import Writing

BACKLOG = 64
SHUTDOWN_TIMEOUT = 1  # s, for requests in flight
PING_INTERVAL = 20.0  # s
PING_TIMEOUT = 20.0  # s; who reads nothing answers nothing, and is cut
LOCKED = "to change things, show one of this console's tokens"

logger = logging.getLogger(__name__)


class Console:
    """Listens from `start` to `stop`. Raises TokensError or TlsError when its files cannot be used."""

    def __init__(self, node: Node) -> None:
        settings = node.settings
        self.port = 0
        self._own = console_port(settings)
        self._gate = Gate(settings)
        self._reach = Reach()
        self._watcher = Watcher(self._reach)
        self._reading = Reading(self._reach, self._watcher)
        topics = self._reading.topics()
        self._live = Live(self._gate, topics)
        self._app = Application(self._gate, assets.load(), Routes(self._routes(topics)), self._live.serve)
        self._tls = tls_files(self._own.tls) if self._own.tls is not None else None
        self._serving: Serving | None = None

    def attach(self, node: Node, firing: Firing) -> None:
        """Go on by way of `node`, whose calls `firing` makes."""
        self._reach.attach(node, firing)
        node.membership.subscribe(self._watcher.on_map)

    async def start(self) -> None:
        """Raises OSError when the address is taken by somebody who does not share it."""
        from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

        listener = socket.create_server(
            (self._own.host, self._own.port),
            family=socket.AF_INET6 if ":" in self._own.host else socket.AF_INET,
            backlog=BACKLOG,
            reuse_port=True,
        )
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        config = asgi_config(
            self._app,
            ws=WebSocketsSansIOProtocol,
            ws_max_size=MAX_FRAME,
            ws_ping_interval=PING_INTERVAL,
            ws_ping_timeout=PING_TIMEOUT,
            ws_per_message_deflate=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
        )
        tokens = (self._gate.writers, self._gate.workers)
        self._serving = Serving(listener, config, self._tls, tokens, ConsoleConnection)
        await self._serving.start()
        self._watcher.start()
        if self._gate.open_to_network:
            logger.warning("action=console_open host=%s reason=no tokens are set", self._own.host)

    async def stop(self) -> None:
        await self._watcher.stop()
        if self._serving is not None:
            await self._serving.stop()
        await self._live.close()
        self._reach.close()

    def describe(self) -> dict[str, int]:
        """Numbers for the admin port."""
        connections = self._serving.connections if self._serving is not None else 0
        return {"connections": connections, "live": len(self._live), "points": len(self._watcher.history.points)}

    def _routes(self, topics: list[Topic]) -> list[Route]:
        writing = Writing(self._reach)
        reading = [Route("GET", topic.path, _handler(topic)) for topic in topics]
        session = Route("GET", "/api/session", self._session)
        return [session, *reading, *writing.routes(), *Reference(self._reach, writing).routes()]

    async def _session(self, request: Request) -> bytes:
        tokens, writable = self._gate.writers.required, self._gate.may_write(request.authorizations)
        hint = "" if writable else LOCKED if tokens else READ_ONLY
        shown = bool(request.authorizations)
        return self._reading.session(writable=writable, tokens=tokens, token_shown=shown, hint=hint)


def _handler(topic: Topic) -> Handler:
    async def handler(request: Request) -> bytes:
        return await topic.fetch(read_filter(topic.filter, request.asked))

    return handler
