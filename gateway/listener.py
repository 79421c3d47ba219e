"""The worker port: accepts sockets, keeps time for them, and drains them. Several gateways may share the port."""

import asyncio
import hmac
import logging
import secrets
import socket

from iii_cluster.config.settings import Settings

from .connection import Connection
from .core import GatewayCore
from .drain import Departures
from .pacing import Pacing
from .worker import Worker

log = logging.getLogger(__name__)

_BACKLOG = 1024
# How often a draining gateway looks for connections that became idle, seconds.
_DRAIN_STEP = 0.02
# How long a peer may take to answer our Close before the socket is cut, seconds.
_CLOSE_TIMEOUT = 2.0
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
        self._handshaking: dict[Connection, float] = {}  # -> deadline
        self._closing: dict[Connection, float] = {}  # -> deadline
        self._pacing: Pacing[Connection] = Pacing(settings.handshake_rate)
        self._admission: asyncio.TimerHandle | None = None  # runs while somebody waits for its turn
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
        """Stop accepting, send everybody elsewhere; return when no call is left to be ended, or after `grace` seconds.

        1. Newcomers are refused. 2. Clients get no new calls and are closed with 1012, as `Departures` says. 3. What
        they say until they answer that is taken; what is theirs after that goes to their next connection.
        """
        self.accepting = False
        if self._server is not None:
            self._server.close()
        for connection in self._pacing.clear():
            connection.refuse()
        began = self._loop.time()
        departures: Departures[Connection] = Departures(len(self._connections), grace)
        while True:
            elapsed = self._loop.time() - began
            for connection in departures.next(elapsed, [c for c in self._connections if c.open]):
                if connection.worker is not None:
                    self._core.withdraw(connection.worker)
            for connection in departures.closing(elapsed):
                self._send_away(connection)
            if elapsed >= grace or (self._deserted and not self._core.unfinished):
                break
            await asyncio.sleep(_DRAIN_STEP)  # calls pay nothing for a poll here
        for connection in list(self._connections):
            connection.abort()

    def _send_away(self, connection: Connection) -> None:
        if connection.worker is not None:
            self._core.send_away(connection.worker)
        connection.close(SERVICE_RESTART, "service restart")

    @property
    def _deserted(self) -> bool:
        """Nobody is connected; sockets that never asked for anything do not count."""
        return all(connection.connecting for connection in self._connections)

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

    def admits(self, connection: Connection) -> bool:
        """Whether a handshake can be answered at once; otherwise it is when its turn has come."""
        admitted = self._pacing.enter(connection, self._loop.time())
        if not admitted and self._admission is None:
            self._admit_later()
        return admitted

    def _admit_later(self) -> None:
        now = self._loop.time()
        self._admission = self._loop.call_at(now + self._pacing.delay(now), self._admit_due)

    def _admit_due(self) -> None:
        self._admission = None
        for connection in self._pacing.due(self._loop.time()):
            connection.admit()
        if len(self._pacing):
            self._admit_later()

    def closing(self, connection: Connection) -> None:
        """The connection should end by itself soon; cut it otherwise."""
        self._closing.setdefault(connection, self.now + _CLOSE_TIMEOUT)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._handshaking.pop(connection, None)
        self._closing.pop(connection, None)
        self._pacing.give_up(connection)
        self._congested.discard(connection)
        worker = connection.worker
        if worker is not None:
            self._core.disconnect(worker, back=connection.lost, in_order=connection.in_order)
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
            connection.abort()
        for connection in [c for c, deadline in self._closing.items() if now > deadline and not c.paused]:
            connection.abort()  # what a paused one has sent before its Close is still wanted
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
