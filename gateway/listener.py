"""A port for workers: tells the core who comes and goes, and drains. Several gateways may share the port."""

import asyncio
import logging
import secrets
from http import HTTPStatus

from msgspec.structs import replace
from websockets.http11 import Request

from iii_cluster.access.rules import Access
from iii_cluster.access.tokens import Tokens
from iii_cluster.config.settings import Settings, WorkerListener
from iii_cluster.protocol import errors, frames
from iii_cluster.telemetry.intake import Intake

from .access.failures import Failures
from .access.gate import Gate, Unauthorized
from .channels.channels import Channels
from .connection import Connection
from .core import GatewayCore
from .drain import Departures
from .sockets.port import SERVICE_RESTART, SocketPort
from .sockets.rate import MessageRate
from .worker import Worker

log = logging.getLogger(__name__)

# How often a draining gateway looks for connections that became idle, seconds.
_DRAIN_STEP = 0.02

_POLICY_VIOLATION = 1008  # close code: not let in
_TRY_AGAIN_LATER = 1013  # close code: there is no room
_MAX_DELAYED = 1000  # refusals that wait: their sockets count as connections
_NO_TOKEN = "This listener wants a token: Authorization: Bearer ...\n"
_RETRY_AFTER = ("Retry-After", "5")
_BEARER = ("WWW-Authenticate", 'Bearer realm="workers"')


class Listener(SocketPort[Connection]):
    """All sockets of one worker port of one gateway. `name` is that of the port: "worker", "worker-2", …"""

    def __init__(
        self,
        core: GatewayCore,
        settings: Settings,
        own: WorkerListener,
        name: str,
        channels: Channels,
        gate: Gate | None = None,
        intake: Intake | None = None,
    ) -> None:
        """Raises TlsError or TokensError when files that it was given cannot be used."""
        if own.handshake_timeout_ms is not None:
            settings = replace(settings, handshake_timeout=own.handshake_timeout_ms / 1000)
        super().__init__(settings, "connection", settings.max_connections, own.tls or settings.tls)
        self._tokens = tokens_of(settings, own)
        self._failures = Failures()
        self._delayed = 0  # refusals that wait
        self._core = core
        self._channels = channels
        self._own = own
        self._gate = gate  # None: there are no rules
        self._intake = intake
        self._asking: set[asyncio.Task[None]] = set()
        self.name = name
        self.host = own.host or settings.host

    async def start(self) -> None:
        """Bind and accept. Raises OSError when the address is taken by somebody who does not share it."""
        await self._listen(self.host, self._own.port, lambda: Connection(self, self.settings))

    async def stop(self, grace: float) -> None:
        """Stop accepting, send everybody elsewhere; return when no call is left to be ended, or after `grace` seconds.

        1. Newcomers are refused. 2. Clients get no new calls and are closed with 1012, as `Departures` says. 3. What
        they say until they answer that is taken; what is theirs after that goes to their next connection. 4. Channels
        have until shortly before the end.
        """
        self._stop_accepting()
        began = self._loop.time()
        departures: Departures[Connection] = Departures(len(self._connections), grace)
        while True:
            elapsed = self._loop.time() - began
            for connection in departures.next(elapsed, [c for c in self._connections if c.open and c.end is None]):
                if connection.worker is not None:
                    self._core.withdraw(connection.worker)
            for connection in departures.closing(elapsed):
                self._send_away(connection)
            if departures.last(elapsed):
                self._close_channels()
            if elapsed >= grace or (self._deserted and not self._core.unfinished and not self._channels.unfinished):
                break
            await asyncio.sleep(_DRAIN_STEP)  # calls pay nothing for a poll here
        for connection in list(self._connections):
            connection.abort()

    def _send_away(self, connection: Connection) -> None:
        if connection.worker is not None:
            self._core.send_away(connection.worker)
        connection.close(SERVICE_RESTART, "service restart")

    def _close_channels(self) -> None:
        """They had the time to finish by themselves."""
        for connection in self._connections:
            if connection.end is not None and connection.open:
                connection.close(SERVICE_RESTART, "service restart")

    @property
    def refused_tokens(self) -> int:
        """Handshakes that showed no token, or a wrong one."""
        return self._failures.count

    def tick(self, now: float) -> None:
        super().tick(now)
        self._tokens.tick(now)

    # -- called by connections ---------------------------------------------------------------------

    def requested(self, connection: Connection) -> None:
        request = connection.request
        query = request.path.partition("?")[2] if request is not None else ""
        # Sockets of channels: their keys are checked instead of tokens.
        if request is None or connection.asked is not None or self._tokens.accepts(request.headers, query):
            super().requested(connection)
        else:
            delay = self._failures.failed(connection.address, self._loop.time())
            if delay and self._delayed < _MAX_DELAYED:
                self._delayed += 1
                self._loop.call_later(delay, self._refuse_late, connection)
            else:
                self._refuse_token(connection)

    def _refuse_late(self, connection: Connection) -> None:
        self._delayed -= 1
        self._refuse_token(connection)

    def _refuse_token(self, connection: Connection) -> None:
        connection.reject(HTTPStatus.UNAUTHORIZED, _NO_TOKEN, _BEARER)

    def _admit(self, connection: Connection) -> None:
        if connection.asked is not None:
            self._channels.admit(connection, connection.asked, self.settings.handshake_timeout / 2)
            return
        request = connection.request
        if not self._room(connection):
            connection.reject(HTTPStatus.SERVICE_UNAVAILABLE, "The cluster has all its workers\n", _RETRY_AFTER)
            return
        if request is None or not connection.accept():
            return
        self._handshaking.pop(connection, None)
        if self.settings.max_messages_per_second and not connection.telemetry:
            connection.limit(self._rate(connection))
        gate = self._gate
        access = gate.open if gate is not None else None
        if gate is None or access is not None:
            self._connect(connection, access)
            return
        connection.early = []
        connection.pause()
        task = asyncio.create_task(self._authenticate(connection, gate, request))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def _room(self, connection: Connection) -> bool:
        """Whether the cluster takes one more worker; a refusal is counted."""
        limits = self._core.limits
        if len(self._core.workers) < limits.connections or connection.telemetry:
            return True
        limits.refused_connections += 1
        if limits.refused_connections.bit_count() == 1:
            log.warning(
                "action=connection_refused count=%d reason=the cluster may have %d workers",
                limits.refused_connections,
                limits.cluster.connections,
            )
        return False

    def _rate(self, connection: Connection) -> MessageRate:
        rate = self.settings.max_messages_per_second
        return MessageRate(connection, rate, self._loop.time, self._loop.call_later, self._core.limits.slow)

    async def _authenticate(self, connection: Connection, gate: Gate, request: Request) -> None:
        """The connection's frames wait."""
        try:
            access = await gate.authenticate(request, connection.address)
        except Unauthorized as refusal:
            self._turn_away(connection, str(refusal))
        except Exception:
            log.exception("action=auth_failed address=%s", connection.address)
            self._turn_away(connection, "authentication failed")
        else:
            if connection.open and not self._room(connection):  # others came while it was asked about
                connection.early = None
                connection.close(_TRY_AGAIN_LATER, "the cluster has all its workers")
            elif connection.open:
                self._connect(connection, access)
        connection.let_in()  # of one that was turned away nothing is taken any more

    def _turn_away(self, connection: Connection, reason: str) -> None:
        connection.early = None
        connection.send(frames.refused(errors.AUTH_ERROR, reason))
        connection.close(_POLICY_VIOLATION, "authentication failed")

    def _connect(self, connection: Connection, access: Access | None) -> None:
        connection.intake = self._intake
        if not connection.telemetry:
            connection.worker = self._core.connect(connection, connection.address, secrets.token_hex(16), access)

    def entered(self, connection: Connection) -> None:
        """Its handshake as a channel's end is done."""
        self._handshaking.pop(connection, None)

    def closed(self, connection: Connection) -> None:
        super().closed(connection)
        if connection.end is not None:
            connection.end.on_closed(*connection.farewell)
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


def tokens_of(settings: Settings, own: WorkerListener) -> Tokens:
    """A listener's own tokens, or those of the settings when it says nothing of tokens. Raises TokensError."""
    return Tokens(*settings.tokens_of(own))
