"""The worker port: accepts sockets, keeps time for them, and drains them. Several gateways may share the port."""

import asyncio
import hmac
import logging
import secrets
import socket

from iii_cluster.config.settings import Settings

from .connection import Connection
from .core import GatewayCore
from .worker import Worker

log = logging.getLogger(__name__)

_BACKLOG = 1024
# How often a draining gateway looks for connections that became idle, seconds.
_DRAIN_STEP = 0.02
# Clients reconnect after 1012 ("service restart"); after 1000, 1001 or no status some never do.
SERVICE_RESTART = 1012


class Listener:
    """All sockets of the worker port of one gateway."""

    def __init__(self, core: GatewayCore, settings: Settings) -> None:
        self.settings = settings
        self.accepting = False
        self._core = core
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._handshaking: dict[Connection, float] = {}
        self._congested: set[Connection] = set()
        self._dirty: list[Connection] = []
        self.port = 0

    async def start(self) -> None:
        """Bind and accept. Raises OSError when the address is taken by somebody who does not share it."""
        listening = socket.create_server(
            (self.settings.host, self.settings.worker_port), backlog=_BACKLOG, reuse_port=True
        )
        listening.setblocking(False)
        self._server = await self._loop.create_server(
            lambda: Connection(self, self.settings), sock=listening, backlog=_BACKLOG
        )
        self.port = listening.getsockname()[1]
        self.accepting = True

    async def stop(self, grace: float) -> None:
        """Stop accepting, let calls in flight end for up to `grace` seconds, then send everybody elsewhere."""
        self.accepting = False
        if self._server is not None:
            self._server.close()
        deadline = self._loop.time() + grace
        while self._send_away(self._loop.time() > deadline):  # noqa: ASYNC110 - calls pay nothing for a poll here
            await asyncio.sleep(_DRAIN_STEP)
        for connection in list(self._connections):
            connection.abort()

    def _send_away(self, everybody: bool) -> bool:
        """Close connections without calls in flight, or all; True while busy ones are left."""
        for connection in list(self._connections):
            if everybody or not connection.busy:
                if connection.worker is not None:
                    self._core.send_away(connection.worker)
                connection.close(SERVICE_RESTART, "service restart")
        return not everybody and bool(self._connections)

    def __len__(self) -> int:
        return len(self._connections)

    # -- called by connections ---------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        if len(self._connections) >= self.settings.max_connections:
            log.warning("action=connection_refused reason=limit of %d", self.settings.max_connections)
            connection.abort()
            return
        self._connections.add(connection)
        self._handshaking[connection] = self.now + self.settings.handshake_timeout

    def handshaken(self, connection: Connection) -> None:
        self._handshaking.pop(connection, None)
        if not connection.telemetry:
            connection.worker = self._core.connect(connection, connection.address, secrets.token_hex(16))

    def closing(self, connection: Connection, timeout: float) -> None:
        """The connection should end by itself soon; cut it otherwise."""
        self._handshaking[connection] = min(self.now + timeout, self._handshaking.get(connection, self.now + timeout))

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._handshaking.pop(connection, None)
        self._congested.discard(connection)
        worker = connection.worker
        if worker is not None:
            self._core.disconnect(worker)
            connection.worker = None

    def on_text(self, worker: Worker, payload: bytes) -> None:
        self._core.on_text(worker, payload)

    def congested(self, connection: Connection) -> None:
        self._congested.add(connection)

    def uncongested(self, connection: Connection) -> None:
        self._congested.discard(connection)
        if connection.worker is not None:
            self._core.backpressure.worker_reads_again(connection.worker)

    # -- time --------------------------------------------------------------------------------------

    def breathe(self, connection: Connection) -> None:
        """Read on in the next tick of the loop, after everybody else had their turn."""
        connection.pause()
        self._loop.call_soon(connection.resume)

    def dirty(self, connection: Connection) -> None:
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()

    def tick(self, now: float) -> None:
        """Once a second: cut sockets that never finish a handshake, stopped reading, or answer no ping."""
        self.now = now
        for connection in [c for c, deadline in self._handshaking.items() if now > deadline]:
            del self._handshaking[connection]
            connection.abort()
        for connection in [c for c in self._congested if c.stalled(now, self.settings.stall_timeout)]:
            log.warning("action=connection_cut address=%s reason=it does not read", connection.address)
            connection.abort()
        ping, pong = self.settings.ping_interval, self.settings.ping_timeout
        for connection in [c for c in self._connections if not c.paused]:
            silent = now - connection.last_seen
            if silent > ping + pong and connection.pinged:
                log.info("action=connection_cut address=%s reason=no pong", connection.address)
                connection.abort()
            elif silent > ping and not connection.pinged:
                connection.ping()


def same_secret(known: str, offered: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(known.encode(), offered.encode())
