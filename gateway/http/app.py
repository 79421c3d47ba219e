"""The application behind the port: routes of the whole cluster, served by this gateway."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from gateway.channels.channels import Channels
from gateway.core import GatewayCore
from iii_cluster.modules.engine import Engine, Watched
from iii_cluster.modules.http.config import HttpConfig

from . import errors
from .cors import Headers
from .edge import Edge
from .exchange import Exchange
from .handling import Handling
from .request import BadQuery, headers_of, query_of
from .response import Response
from .routes import Routes
from .sending import respond

log = logging.getLogger(__name__)

# The table is brought up to date at once, but takes no more of the time than one part in so many.
REST = 10

# A gateway that has just started waits so long to be told the routes, seconds: longer than slots take to change hands.
UNKNOWN = 5.0


class App:
    """Made once per gateway; stays the same through all its incarnations."""

    def __init__(self, config: HttpConfig, engine: Engine, core: GatewayCore, channels: Channels) -> None:
        self._engine = engine
        self._edge = Edge(config, core.own.start, channels, core.telemetry.tracer)
        self._routes = Routes()
        self._watched: Watched | None = None
        self._refreshing: asyncio.TimerHandle | None = None
        self._rest_until = 0.0
        self._known = False  # the routes of the cluster are
        self.requests = 0

    def start(self) -> None:
        """Follow the triggers of the cluster."""
        self._watched = self._engine.watch("http", self._changed)
        self._changed()

    def describe(self) -> dict[str, Any]:
        return {"routes": len(self._routes), "requests": self.requests, "streaming": self._edge.streaming}

    # -- routes ------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if self._refreshing is None:
            self._refreshing = self._edge.loop.call_at(self._rest_until, self._refresh)

    def _refresh(self) -> None:
        self._refreshing = None
        if self._watched is None or not self._watched.known:
            return
        began = self._edge.loop.time()
        self._known = True
        self._routes.update(self._watched.all())
        ended = self._edge.loop.time()
        self._rest_until = ended + (ended - began) * REST

    async def _learned(self) -> bool:
        """Whether the routes are known now: nothing is missing because this gateway has not heard of it yet."""
        if self._watched is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNKNOWN):
                    await self._watched.until_known()
                if not self._known:
                    self._refresh()
        return self._known

    # -- requests ----------------------------------------------------------------------------------

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Returns what becomes a task; None when the end of a call is all that is waited for."""
        self.requests += 1
        headers = headers_of(exchange.headers)
        cors = self._edge.cors.headers(headers.get("origin", ""))
        if not self._known:
            return self._serve_later(exchange, headers, cors)
        found = self._find(exchange, headers, cors)
        return found.begin() if isinstance(found, Handling) else respond(exchange, found, cors)

    async def _serve_later(self, exchange: Exchange, headers: dict[str, str], cors: Headers) -> None:
        if await self._learned():
            found = self._find(exchange, headers, cors)
        else:
            retry = (b"retry-after", b"1")
            found = errors.error_response(503, errors.SERVICE_UNAVAILABLE, "The routes are not known yet", retry)
        await (found.serve() if isinstance(found, Handling) else respond(exchange, found, cors))

    def _find(self, exchange: Exchange, headers: dict[str, str], cors: Headers) -> Response | Handling:
        """What is to be done, or the answer when there is nothing to do."""
        method = exchange.method
        path = exchange.path.decode(errors="replace").removeprefix("/")
        if method == "OPTIONS" and "access-control-request-method" in headers:
            return self._edge.cors.preflight(headers.get("access-control-request-headers", ""))
        match = self._routes.match(method, path)
        if match is None and method == "HEAD":
            match = self._routes.match("GET", path)
        if match is None:
            return self._unrouted(method, path)
        exchange.route = match.bound.template
        try:
            query = query_of(exchange.query, lists=self._edge.query_lists)
        except BadQuery as error:
            return errors.text_response(400, f"Bad Request: {error}")
        return Handling(self._edge, match, exchange, query, headers, cors)

    def _unrouted(self, method: str, path: str) -> Response:
        allowed = self._routes.methods(path)
        if not allowed and not (method == "OPTIONS" and path == "*"):
            return errors.error_response(404, errors.NOT_FOUND, "Not Found")
        allow = (b"allow", ", ".join(dict.fromkeys([*allowed, "OPTIONS"])).encode())
        return Response(204 if method == "OPTIONS" else 405, (allow,), b"")
