"""The HTTP port of one gateway. Several gateways may share it."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Coroutine
from email.utils import formatdate
from functools import partial
from typing import Any

from uvicorn.server import ServerState

from iii_cluster.access.tls import tls_files
from iii_cluster.config.settings import Settings
from iii_cluster.modules.http.module import HttpModule
from iii_cluster.node.asgi import asgi_config
from iii_cluster.telemetry.metrics.requests import Requests

from .access_log import AccessLog
from .connection import HttpConnection
from .cors import CorsPolicy
from .errors import INTERNAL_ERROR, error_response
from .exchange import Application, Exchange
from .quota import Quota
from .refusal import bad_request, busy, rendered
from .request_id import RequestIds
from .response import Response

log = logging.getLogger(__name__)

_BACKLOG = 1024
# Beyond the limit so many connections get an answer, 503, before they are closed.
_REFUSED_AT_ONCE = 256
_LINES_PER_SECOND = 10  # of the log, about connections
# How long connections without a request stay open when the port is closed, s, but half of the grace at most: their
# clients may be asking just then, and are told with the answer that it was the last one.
_PARTING = 2.0
_TLS_SHUTDOWN = 2.0  # s


class HttpListener:
    """Connections and requests of the port. Implements `HttpPort`."""

    def __init__(
        self, module: HttpModule, settings: Settings, app: Application, requests: Requests | None = None
    ) -> None:
        """`requests` counts them."""
        self.limits = module.config
        self.stall_timeout = settings.stall_timeout
        self.host = self.limits.host or settings.host
        self.port = 0
        self.accepting = False
        self._draining = False
        self._parting = False
        self.loop = asyncio.get_running_loop()
        self.ids = RequestIds()
        self.date_line = b""
        self._settings = settings
        self._app = app
        self._most = max(1, self.limits.concurrency_request_limit)
        tls = self.limits.tls or settings.tls
        self._tls = tls_files(tls) if tls is not None else None
        self._cors = CorsPolicy(self.limits.cors)
        self._requests = requests or Requests()
        self._access_log = AccessLog(self.limits.access_log)
        self._quota = Quota(_LINES_PER_SECOND)
        self._state = ServerState()
        self._make = partial(HttpConnection, self, asgi_config(app), self._state)
        self._listening: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._congested: set[HttpConnection] = set()
        self._in_progress: set[Exchange] = set()
        self.crowded = False  # several were in progress at once since the last tick
        self._writing: list[HttpConnection] = []  # at the end of this turn
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone = asyncio.Event()  # a connection was lost
        self._answered = 0
        self._busy = 0  # requests answered with 503
        self._refused = 0  # connections, and requests that were malformed, too slow or too long
        self._set_date()

    async def start(self) -> None:
        """Bind and accept. Raises OSError when the address is taken by somebody who does not share it."""
        self._listening = socket.create_server(
            (self.host, self._settings.http_port),
            family=socket.AF_INET6 if ":" in self.host else socket.AF_INET,
            backlog=_BACKLOG,
            reuse_port=True,
        )
        self._listening.setblocking(False)
        self._server = await self.loop.create_server(
            self._make, sock=self._listening, backlog=_BACKLOG, **self._tls_options()
        )
        self.port = self._listening.getsockname()[1]
        self.accepting = True

    def _tls_options(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        return {
            "ssl": self._tls.context,
            "ssl_handshake_timeout": self._settings.handshake_timeout,
            "ssl_shutdown_timeout": _TLS_SHUTDOWN,
        }

    async def stop(self, grace: float) -> None:
        """Send everybody elsewhere within `grace` seconds.

        1. The port is closed; clients that had connected by then are taken. Responses from now on say that the
        connection ends. 2. A moment later connections without a request are closed. 3. Requests in progress are
        finished. 4. What is left is cut.
        """
        self.accepting = False
        self._draining = True
        for connection in self._connections:
            connection.leaving = True
        late = self._stop_listening()
        began = self.loop.time()
        for taken in asyncio.as_completed(late):
            with contextlib.suppress(OSError):  # its client is gone
                await taken
        await self._deserted(began + min(_PARTING, grace / 2))
        self._parting = True
        for connection in self._connections:
            connection.part()
        await self._deserted(began + grace)
        for connection in self._connections:
            connection.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.sleep(0)  # they are told of it

    def _stop_listening(self) -> list[asyncio.Task[Any]]:
        """Close the port; returns what becomes of those who were still in its queue, who would be reset."""
        if self._listening is None or self._server is None:
            return []
        late: list[asyncio.Task[Any]] = []
        with contextlib.suppress(OSError):  # no more, as a rule
            while True:
                client, _ = self._listening.accept()
                client.setblocking(False)
                taking = self.loop.connect_accepted_socket(self._make, client, **self._tls_options())
                late.append(self.loop.create_task(taking))
        self._server.close()
        return late

    async def _deserted(self, deadline: float) -> None:
        """Returns when nobody is connected any more, or at the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._state.connections:
                    self._gone.clear()
                    await self._gone.wait()

    @property
    def _connections(self) -> list[HttpConnection]:
        return list(self._state.connections)  # type: ignore[arg-type]

    def describe(self) -> dict[str, int]:
        return {
            "connections": len(self._state.connections),
            "in_progress": len(self._in_progress),
            "answered": self._answered,
            "busy": self._busy,
            "refused": self._refused,
            "congested": len(self._congested),
        }

    # -- called by connections ---------------------------------------------------------------------

    def opened(self, connection: HttpConnection) -> bool:
        connection.leaving = self._draining
        connection.parting = self._parting
        connections = len(self._state.connections)
        if connections > self.limits.max_connections + _REFUSED_AT_ONCE:
            connection.cut()
        return connections <= self.limits.max_connections

    def closed(self, connection: HttpConnection) -> None:
        self._state.connections.discard(connection)
        self._congested.discard(connection)
        self._gone.set()

    def congested(self, connection: HttpConnection, on: bool) -> None:
        if on:
            self._congested.add(connection)
        else:
            self._congested.discard(connection)

    def writing(self, connection: HttpConnection) -> None:
        if not self._writing:
            self.loop.call_soon(self._write)
        self._writing.append(connection)

    def _write(self) -> None:
        writing, self._writing = self._writing, []
        for connection in writing:
            connection.flush()

    def refusal(self, connection: HttpConnection, status: int, message: str) -> bytes:
        self._refused += 1
        if self._quota.take():
            log.info("action=http_refused client=%s status=%d reason=%s", connection.who, status, message)
        return rendered(bad_request(status, message, self._cors.headers("")), self.date_line)

    # -- called by exchanges -----------------------------------------------------------------------

    def begin(self, exchange: Exchange) -> bool:
        self._in_progress.add(exchange)
        if len(self._in_progress) > self._most:
            self._busy += 1
            exchange.answer(*busy(self._most, self._cors.headers(exchange.origin)))
            return False
        self.crowded = self.crowded or len(self._in_progress) > 1
        if self.crowded:
            self.loop.call_soon(exchange.begin, self._app)  # those read by then go to the workers together
        return not self.crowded

    def serve(self, exchange: Exchange) -> None:
        exchange.begin(self._app)

    def spawn(self, running: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(running)
        self._tasks.add(task)
        return task

    def answered(self, exchange: Exchange) -> None:
        self._in_progress.discard(exchange)
        self._answered += 1
        self._requests.ended(exchange.method, exchange.route, exchange.status, self.loop.time() - exchange.started_at)
        if self._access_log.wants(exchange.status):
            self._access_log.write(exchange.entry(self.loop.time()))

    def ended(self, exchange: Exchange) -> None:
        """One without a complete response has been in progress until now: its client is gone, the work was not."""
        if exchange.task is not None:
            self._tasks.discard(exchange.task)
        if exchange in self._in_progress:
            self._in_progress.discard(exchange)
            entry = exchange.entry(self.loop.time())
            self._requests.ended(entry.method, exchange.route, entry.status, entry.seconds)
            if self._access_log.wants(entry.status):
                self._access_log.write(entry)

    def failed(self) -> None:
        if self._quota.take():
            log.exception("action=http_failed")

    def internal_error(self) -> Response:
        return error_response(500, INTERNAL_ERROR, "internal server error")

    # -- time --------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Once a second."""
        self.crowded = False
        self._set_date()
        self._access_log.tick()
        if kept_back := self._quota.renew():
            log.warning("action=http_lines_kept_back count=%d", kept_back)
        if self._tls is not None:
            self._tls.tick(now)
        for connection in [c for c in self._connections if c.deadline < now]:
            connection.overdue(now)
        for connection in [c for c in self._congested if c.stalled(now)]:
            log.info("action=http_cut client=%s reason=it does not read", connection.who)
            connection.cut()

    def _set_date(self) -> None:
        self.date_line = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode("ascii")
