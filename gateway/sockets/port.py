"""A port: accepts WebSockets and keeps time for them. Several gateways may share it."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from iii_cluster.access.tls import tls_files
from iii_cluster.config.settings import Settings, Tls

from .pacing import Pacing
from .websocket import WebSocket

log = logging.getLogger(__name__)

_BACKLOG = 1024
# How long a peer may take to answer our Close before the socket is cut, seconds.
CLOSE_TIMEOUT = 2.0
# Clients reconnect after 1012 ("service restart"); after 1000, 1001 or no status some never do.
SERVICE_RESTART = 1012

S = TypeVar("S", bound=WebSocket)


class SocketPort(Generic[S]):
    """All sockets of one port of one gateway. Implements `Keeper`."""

    def __init__(self, settings: Settings, label: str, max_connections: int, tls: Tls | None = None) -> None:
        """Raises TlsError when the files of `tls` cannot be used."""
        self.settings = settings
        self._tls = tls_files(tls) if tls is not None else None
        self.label = label
        self.accepting = False
        self.port = 0
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._connections: set[S] = set()
        self._handshaking: dict[S, float] = {}  # -> deadline
        self._closing: dict[S, float] = {}  # -> deadline
        self._congested: set[S] = set()
        self._pacing: Pacing[S] = Pacing(settings.handshake_rate)
        self._admission: asyncio.TimerHandle | None = None  # runs while somebody waits for its turn
        self._dirty: list[S] = []

    def __len__(self) -> int:
        return len(self._connections)

    def _admit(self, connection: S) -> None:
        """Answer a handshake: its turn has come. For subclasses."""
        raise NotImplementedError

    async def _listen(self, host: str, port: int, make: Callable[[], S]) -> None:
        """Bind and accept. Raises OSError when the address is taken by somebody who does not share it."""
        listening = socket.create_server((host, port), backlog=_BACKLOG, reuse_port=True)
        listening.setblocking(False)
        if self._tls is None:
            self._server = await self._loop.create_server(make, sock=listening, backlog=_BACKLOG)
        else:
            self._server = await self._loop.create_server(
                make,
                sock=listening,
                backlog=_BACKLOG,
                ssl=self._tls.context,
                ssl_handshake_timeout=self.settings.handshake_timeout,
                ssl_shutdown_timeout=CLOSE_TIMEOUT,
            )
        self.port = listening.getsockname()[1]
        self.accepting = True

    def _stop_accepting(self) -> None:
        self.accepting = False
        if self._server is not None:
            self._server.close()
        for connection in self._pacing.clear():
            self._refuse(connection)

    def _refuse(self, connection: S) -> None:
        """Other gateways take it: some clients never try again after an HTTP error, all do after a cut connection."""
        connection.abort()

    @property
    def _deserted(self) -> bool:
        """Nobody is connected; sockets that never asked for anything do not count."""
        return all(connection.connecting for connection in self._connections)

    # -- called by sockets -------------------------------------------------------------------------

    def opened(self, connection: S) -> None:
        if len(self._connections) >= self._max_connections:
            log.warning("action=%s_refused reason=limit of %d", self.label, self._max_connections)
            connection.abort()
            return
        self._connections.add(connection)
        self._handshaking[connection] = self._loop.time() + self.settings.handshake_timeout

    def requested(self, connection: S) -> None:
        if not self.accepting:
            self._refuse(connection)
        elif self._pacing.enter(connection, self._loop.time()):
            self._admit(connection)
        elif self._admission is None:
            self._admit_later()

    def _admit_later(self) -> None:
        now = self._loop.time()
        self._admission = self._loop.call_at(now + self._pacing.delay(now), self._admit_due)

    def _admit_due(self) -> None:
        self._admission = None
        for connection in self._pacing.due(self._loop.time()):
            self._admit(connection)
        if len(self._pacing):
            self._admit_later()

    def closing(self, connection: S) -> None:
        """The connection should end by itself soon; cut it otherwise."""
        self._closing.setdefault(connection, self._loop.time() + CLOSE_TIMEOUT)

    def closed(self, connection: S) -> None:
        self._connections.discard(connection)
        self._handshaking.pop(connection, None)
        self._closing.pop(connection, None)
        self._congested.discard(connection)
        self._pacing.give_up(connection)

    def congested(self, connection: S) -> None:
        self._congested.add(connection)

    def uncongested(self, connection: S) -> None:
        self._congested.discard(connection)

    # -- time --------------------------------------------------------------------------------------

    def breathe(self, connection: S) -> None:
        """Read on in the next tick of the loop, after everybody else had their turn."""
        connection.pause()
        self._loop.call_soon(connection.resume)

    def dirty(self, connection: S) -> None:
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
        if self._tls is not None:
            self._tls.tick(now)
        for connection in [c for c, deadline in self._handshaking.items() if now > deadline]:
            connection.abort()
        for connection in [c for c, deadline in self._closing.items() if now > deadline and not c.wanted]:
            connection.abort()
        for connection in [c for c in self._congested if c.stalled(now, self.settings.stall_timeout)]:
            log.warning("action=%s_cut %s reason=it does not read", self.label, connection.who)
            connection.abort()
        ping, pong = self.settings.ping_interval, self.settings.ping_timeout
        for connection in [c for c in self._connections if not c.paused]:
            silent = now - connection.last_seen
            if silent > ping + pong and connection.pinged:
                log.info("action=%s_cut %s reason=no pong", self.label, connection.who)
                connection.abort()
            elif silent > ping and not connection.pinged:
                connection.ping()
