"""The stream port: accepts clients, keeps time for them, and sends them elsewhere. Gateways may share the port."""

import asyncio
import logging
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from websockets.http11 import Request

from gateway.pacing import Pacing
from iii_cluster.config.settings import Settings
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.stream.hooks import Unauthorized
from iii_cluster.modules.stream.module import StreamModule

from .clients import Clients
from .connection import StreamConnection
from .handshake import handshake
from .session import Session

log = logging.getLogger(__name__)

_BACKLOG = 1024
_CLOSE_TIMEOUT = 2.0  # seconds a peer may take to answer our Close before the socket is cut
_MAX_LEAVING = 10_000  # clients that are gone and whose hooks are being told; of more, hooks are not told
SERVICE_RESTART = 1012


class StreamListener:
    """All sockets of the stream port of one gateway. `module` has begun."""

    def __init__(self, module: StreamModule, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.accepting = False
        self.port = 0
        self._module = module
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()
        self._clients: Clients | None = None  # from start to stop
        self._server: asyncio.Server | None = None
        self._connections: set[StreamConnection] = set()
        self._sessions: dict[StreamConnection, Session] = {}
        self._handshaking: dict[StreamConnection, float] = {}  # -> deadline
        self._closing: dict[StreamConnection, float] = {}  # -> deadline
        self._congested: set[StreamConnection] = set()
        self._pacing: Pacing[StreamConnection] = Pacing(settings.handshake_rate)
        self._requests: dict[StreamConnection, Request] = {}  # handshakes that wait for their turn
        self._admission: asyncio.TimerHandle | None = None  # runs while some do
        self._tasks: set[asyncio.Task[Any]] = set()  # auth functions and hooks of those who left
        self._dirty: list[StreamConnection] = []
        self._gone = asyncio.Event()  # a connection was lost

    def __len__(self) -> int:
        return len(self._connections)

    async def start(self) -> None:
        """Bind and accept. Raises OSError when the address is taken by somebody who does not share it."""
        module = self._module
        assert module.following is not None, "the module has not begun"
        address = module.config.host or self.settings.host, self.settings.stream_port
        listening = socket.create_server(address, backlog=_BACKLOG, reuse_port=True)
        listening.setblocking(False)
        self._clients = Clients(module.following, f"streams:{self._engine.node}")
        self._clients.start()
        limit = module.config.max_message_bytes
        self._server = await self._loop.create_server(
            lambda: StreamConnection(self, limit), sock=listening, backlog=_BACKLOG
        )
        self.port = listening.getsockname()[1]
        self.accepting = True

    async def stop(self, grace: float) -> None:
        """Send everybody elsewhere: 1. newcomers are refused; 2. clients are closed with 1012, and cut if they do not
        answer; 3. hooks of those who left are waited for until `grace` seconds have passed."""
        self.accepting = False
        began = self._loop.time()
        if self._server is not None:
            self._server.close()
        for connection in self._pacing.clear():
            self._refuse_draining(connection)
        for connection in list(self._connections):
            connection.close(SERVICE_RESTART, "service restart")
        with suppress(TimeoutError):
            async with asyncio.timeout(min(grace, _CLOSE_TIMEOUT)):
                while not all(connection.connecting for connection in self._connections):
                    self._gone.clear()
                    await self._gone.wait()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # they are told of it
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, began + grace - self._loop.time()))
        for task in self._tasks:
            task.cancel()
        if self._clients is not None:
            await self._clients.stop()

    def describe(self) -> dict[str, int]:
        fanout = self._clients.fanout if self._clients is not None else None
        return {
            "connections": len(self._connections),
            "subscriptions": fanout.subscriptions if fanout is not None else 0,
            "groups": len(fanout) if fanout is not None else 0,
            "congested": len(self._congested),
        }

    # -- called by connections ---------------------------------------------------------------------

    def opened(self, connection: StreamConnection) -> None:
        limit = self._module.config.max_connections
        if len(self._connections) >= limit:
            log.warning("action=stream_connection_refused reason=limit of %d", limit)
            connection.abort()
            return
        self._connections.add(connection)
        self._handshaking[connection] = self._loop.time() + self.settings.handshake_timeout

    def requested(self, connection: StreamConnection, request: Request) -> None:
        """A handshake has arrived: answer it when its turn has come."""
        if not self.accepting:
            self._refuse_draining(connection)
            return
        self._requests[connection] = request
        if self._pacing.enter(connection, self._loop.time()):
            self._admit(connection)
        elif self._admission is None:
            self._admit_later()

    def closing(self, connection: StreamConnection) -> None:
        """The connection should end by itself soon; cut it otherwise."""
        self._closing.setdefault(connection, self._loop.time() + _CLOSE_TIMEOUT)

    def closed(self, connection: StreamConnection) -> None:
        self._gone.set()
        self._connections.discard(connection)
        self._handshaking.pop(connection, None)
        self._closing.pop(connection, None)
        self._congested.discard(connection)
        self._requests.pop(connection, None)
        self._pacing.give_up(connection)
        session = self._sessions.pop(connection, None)
        if session is not None:
            for task in session.close(tell=len(self._tasks) < _MAX_LEAVING):
                self._keep(task)

    def congested(self, connection: StreamConnection) -> None:
        self._congested.add(connection)

    def uncongested(self, connection: StreamConnection) -> None:
        self._congested.discard(connection)
        session = self._sessions.get(connection)
        if session is not None and self._clients is not None:
            self._clients.fanout.keeps_up(list(session.subscriptions.values()))

    # -- handshakes --------------------------------------------------------------------------------

    def _admit_later(self) -> None:
        now = self._loop.time()
        self._admission = self._loop.call_at(now + self._pacing.delay(now), self._admit_due)

    def _admit_due(self) -> None:
        self._admission = None
        for connection in self._pacing.due(self._loop.time()):
            self._admit(connection)
        if len(self._pacing):
            self._admit_later()

    def _admit(self, connection: StreamConnection) -> None:
        request = self._requests.pop(connection)
        hooks = self._module.hooks
        if hooks is not None and hooks.authenticates:
            self._keep(self._loop.create_task(self._authenticate(connection, request)))
        else:
            self._accept(connection, b"null")

    async def _authenticate(self, connection: StreamConnection, request: Request) -> None:
        hooks = self._module.hooks
        assert hooks is not None
        asked = handshake(request.headers, request.path, connection.address)
        try:
            context = await hooks.authenticate(asked, self.settings.handshake_timeout / 2)
        except Unauthorized:
            connection.reject(HTTPStatus.UNAUTHORIZED, "Not authorized\n")
            return
        if self.accepting:
            self._accept(connection, context)
        else:
            self._refuse_draining(connection)

    def _accept(self, connection: StreamConnection, context: bytes) -> None:
        hooks, presence, clients = self._module.hooks, self._module.presence, self._clients
        if hooks is None or presence is None or clients is None or not connection.accept():
            return
        self._handshaking.pop(connection, None)
        limit = self._module.config.max_subscriptions
        session = self._sessions[connection] = Session(connection, clients.fanout, hooks, presence, context, limit)
        connection.on_text = session.on_text

    def _refuse_draining(self, connection: StreamConnection) -> None:
        self._requests.pop(connection, None)
        connection.reject(HTTPStatus.SERVICE_UNAVAILABLE, "Draining, try another gateway\n")

    def _keep(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prolong(self) -> None:
        """Hooks were told that all clients left: so they do, and join again."""
        presence = self._module.presence
        if presence is not None and not await presence.prolong():
            for connection in list(self._sessions):
                connection.close(SERVICE_RESTART, "service restart")

    # -- time --------------------------------------------------------------------------------------

    def dirty(self, connection: StreamConnection) -> None:
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()

    def tick(self, now: float) -> None:
        """Once a second: cut sockets that never finish a handshake, do not read, or answer no ping."""
        self.now = now
        if self._clients is not None:
            self._clients.check(now)
            self._keep(self._loop.create_task(self._prolong()))
        for connection in [c for c, deadline in (*self._handshaking.items(), *self._closing.items()) if now > deadline]:
            connection.abort()
        for connection in [c for c in self._congested if c.stalled(now, self.settings.stall_timeout)]:
            log.warning("action=stream_connection_cut address=%s reason=it does not read", connection.address)
            connection.abort()
        ping, pong = self.settings.ping_interval, self.settings.ping_timeout
        for connection in [c for c in self._connections if not c.paused]:
            silent = now - connection.last_seen
            if silent > ping + pong and connection.pinged:
                log.info("action=stream_connection_cut address=%s reason=no pong", connection.address)
                connection.abort()
            elif silent > ping and not connection.pinged:
                connection.ping()
