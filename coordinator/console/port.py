"""The console's port, shared by the coordinators of a host."""

import socket

from iii_cluster.access.tls import tls_files
from iii_cluster.config.ports import Listening
from iii_cluster.node.asgi import asgi_config
from iii_cluster.node.serving import Serving

from .app import Application
from .connection import ConsoleConnection
from .gate import Gate
from .live import MAX_FRAME

BACKLOG = 64
SHUTDOWN_TIMEOUT = 1  # s, for requests in flight
PING_INTERVAL = 20.0  # s
PING_TIMEOUT = 20.0  # s; who reads nothing answers nothing, and is cut


class ConsolePort:
    """Serves `app` from `start` to `stop`. Raises TlsError when the files cannot be used."""

    def __init__(self, own: Listening, gate: Gate, app: Application) -> None:
        self.port = 0
        self._own = own
        self._gate = gate
        self._app = app
        self._tls = tls_files(own.tls) if own.tls is not None else None
        self._serving: Serving | None = None

    @property
    def connections(self) -> int:
        return self._serving.connections if self._serving is not None else 0

    async def start(self) -> None:
        """Raises OSError when the address is taken by somebody who does not share it."""
        # Only coordinators need it, and only here.
        from .socket import LiveConnection

        own = self._own
        family = socket.AF_INET6 if ":" in own.host else socket.AF_INET
        listener = socket.create_server((own.host, own.port), family=family, backlog=BACKLOG, reuse_port=True)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        config = asgi_config(
            self._app,
            ws=LiveConnection,
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

    async def stop(self) -> None:
        if self._serving is not None:
            await self._serving.stop()
