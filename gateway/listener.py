"""A port for workers: tells the core who comes and goes, and drains. Several gateways may share the port."""

import asyncio
import hmac
import secrets

from iii_cluster.config.settings import Settings, WorkerListener

from .connection import Connection
from .core import GatewayCore
from .drain import Departures
from .sockets.port import SERVICE_RESTART, SocketPort
from .worker import Worker

# How often a draining gateway looks for connections that became idle, seconds.
_DRAIN_STEP = 0.02


class Listener(SocketPort[Connection]):
    """All sockets of one worker port of one gateway. `name` is that of the port: "worker", "worker-2", …"""

    def __init__(self, core: GatewayCore, settings: Settings, own: WorkerListener, name: str) -> None:
        super().__init__(settings, "connection", settings.max_connections)
        self._core = core
        self._own = own
        self.name = name
        self.host = own.host or settings.host

    async def start(self) -> None:
        """Bind and accept. Raises OSError when the address is taken by somebody who does not share it."""
        await self._listen(self.host, self._own.port, lambda: Connection(self, self.settings))

    async def stop(self, grace: float) -> None:
        """Stop accepting, send everybody elsewhere; return when no call is left to be ended, or after `grace` seconds.

        1. Newcomers are refused. 2. Clients get no new calls and are closed with 1012, as `Departures` says. 3. What
        they say until they answer that is taken; what is theirs after that goes to their next connection.
        """
        self._stop_accepting()
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

    # -- called by connections ---------------------------------------------------------------------

    def _admit(self, connection: Connection) -> None:
        if connection.accept():
            self._handshaking.pop(connection, None)
            if not connection.telemetry:
                connection.worker = self._core.connect(connection, connection.address, secrets.token_hex(16))

    def closed(self, connection: Connection) -> None:
        super().closed(connection)
        worker = connection.worker
        if worker is not None:
            self._core.disconnect(worker, back=connection.lost, in_order=connection.in_order)
            connection.worker = None

    def on_text(self, worker: Worker, payload: bytes) -> None:
        self._core.on_text(worker, payload)

    def uncongested(self, connection: Connection) -> None:
        super().uncongested(connection)
        if connection.worker is not None:
            self._core.backpressure.worker_reads_again(connection.worker)


def same_secret(known: str, offered: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(known.encode(), offered.encode())
