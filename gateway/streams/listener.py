"""The stream port: asks who clients are, tells hooks who left, and sends clients elsewhere. Gateways may share it."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from websockets.http11 import Request

from gateway.sockets.port import CLOSE_TIMEOUT, SERVICE_RESTART, SocketPort
from iii_cluster.config.settings import Settings
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.stream.hooks import Unauthorized
from iii_cluster.modules.stream.module import StreamModule
from iii_cluster.telemetry.context import NO_TRACE

from .clients import Clients
from .connection import StreamConnection
from .frames import Deflated
from .handshake import handshake, trace_of
from .session import Session

_MAX_LEAVING = 10_000  # clients that are gone and whose hooks are being told; of more, hooks are not told


class StreamListener(SocketPort[StreamConnection]):
    """All sockets of the stream port of one gateway. `module` has begun."""

    def __init__(self, module: StreamModule, settings: Settings, engine: Engine) -> None:
        tls = module.config.tls or settings.tls
        super().__init__(settings, "stream_connection", module.config.max_connections, tls)
        self._module = module
        self._engine = engine
        self._clients: Clients | None = None  # from start to stop
        self._sessions: dict[StreamConnection, Session] = {}
        self._tasks: set[asyncio.Task[Any]] = set()  # auth functions and hooks of those who left
        self._gone = asyncio.Event()  # a connection was lost

    @property
    def host(self) -> str:
        """Where it binds."""
        return self._module.config.host or self.settings.host

    async def start(self) -> None:
        """Bind and accept. Raises OSError when the address is taken by somebody who does not share it."""
        module = self._module
        assert module.following is not None, "the module has not begun"
        self._clients = Clients(module.following, f"streams:{self._engine.node}")
        limit, deflated = module.config.max_message_bytes, Deflated()
        await self._listen(self.host, self.settings.stream_port, lambda: StreamConnection(self, limit, deflated))
        self._clients.start()

    async def stop(self, grace: float) -> None:
        """Send everybody elsewhere: 1. newcomers are refused; 2. clients are closed with 1012, and cut if they do not
        answer; 3. hooks of those who left are waited for until `grace` seconds have passed."""
        self._stop_accepting()
        began = self._loop.time()
        for connection in list(self._connections):
            connection.close(SERVICE_RESTART, "service restart")
        with suppress(TimeoutError):
            async with asyncio.timeout(min(grace, CLOSE_TIMEOUT)):
                while not self._deserted:
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

    def closed(self, connection: StreamConnection) -> None:
        self._gone.set()
        super().closed(connection)
        session = self._sessions.pop(connection, None)
        if session is not None:
            for task in session.close(tell=len(self._tasks) < _MAX_LEAVING):
                self._keep(task)

    def uncongested(self, connection: StreamConnection) -> None:
        super().uncongested(connection)
        session = self._sessions.get(connection)
        if session is not None and self._clients is not None:
            self._clients.fanout.keeps_up(list(session.subscriptions.values()))

    # -- handshakes --------------------------------------------------------------------------------

    def _admit(self, connection: StreamConnection) -> None:
        hooks = self._module.hooks
        if hooks is not None and hooks.authenticates and connection.request is not None:
            self._keep(self._loop.create_task(self._authenticate(connection, connection.request)))
        else:
            self._accept(connection, b"null")

    async def _authenticate(self, connection: StreamConnection, request: Request) -> None:
        hooks = self._module.hooks
        assert hooks is not None
        asked = handshake(request.headers, request.path, connection.address)
        try:
            limit = self.settings.handshake_timeout / 2
            context = await hooks.authenticate(asked, limit, trace_of(request.headers))
        except Unauthorized:
            connection.reject(HTTPStatus.UNAUTHORIZED, "Not authorized\n")
            return
        if self.accepting:
            self._accept(connection, context)
        else:
            self._refuse(connection)

    def _accept(self, connection: StreamConnection, context: bytes) -> None:
        hooks, presence, clients = self._module.hooks, self._module.presence, self._clients
        trace = NO_TRACE if connection.request is None else trace_of(connection.request.headers)
        if hooks is None or presence is None or clients is None or not connection.accept():
            return
        self._handshaking.pop(connection, None)
        limit = self._module.config.max_subscriptions
        session = Session(connection, clients.fanout, hooks, presence, context, limit, trace)
        self._sessions[connection] = session
        connection.on_text = session.on_text

    def _keep(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- time --------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        super().tick(now)
        if self._clients is not None:
            self._clients.check(now)
        if self._module.presence is not None:
            self._module.presence.prolong()
