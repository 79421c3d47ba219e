"""The application behind the port: routes of the whole cluster, served by this gateway."""

import asyncio
import contextlib
import logging
from typing import Any

from gateway.channels.channels import Channels
from gateway.core import GatewayCore
from iii_cluster.modules.engine import Engine, Watched
from iii_cluster.modules.http.config import HttpConfig

from . import errors
from .edge import Edge
from .exchange import Exchange
from .handling import ClientGone, Handling
from .request import BadQuery, headers_of, query_of
from .response import Header, Response
from .routes import Routes
from .streaming import Streamed

log = logging.getLogger(__name__)

# The table is brought up to date at once, but takes no more of the time than one part in so many.
REST = 10

# A gateway that has just started waits so long to be told the routes, seconds: longer than slots take to change hands.
UNKNOWN = 5.0

_WITHOUT_BODY = (204, 304)


class App:
    """Made once per gateway; stays the same through all its incarnations."""

    def __init__(self, config: HttpConfig, engine: Engine, core: GatewayCore, channels: Channels) -> None:
        self._engine = engine
        self._edge = Edge(config, core.own.start, channels)
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

    async def __call__(self, exchange: Exchange) -> None:
        self.requests += 1
        headers = headers_of(exchange.headers)
        cors = self._edge.cors.headers(headers.get("origin", ""))
        if self._known or await self._learned():
            found = self._find(exchange, headers)
        else:
            retry = (b"retry-after", b"1")
            found = errors.error_response(503, errors.SERVICE_UNAVAILABLE, "The routes are not known yet", retry)
        if isinstance(found, Response):
            await _respond(exchange, found, cors)
            return
        try:
            answer = await found.answer()
            if isinstance(answer, Response):
                await _respond(exchange, answer, cors)
            else:
                await _stream(exchange, answer, cors)
        except (ClientGone, OSError):
            pass  # nobody reads an answer
        finally:
            found.end()

    def _find(self, exchange: Exchange, headers: dict[str, str]) -> Response | Handling:
        """What is to be done, or the answer when there is nothing to do."""
        method = exchange.method
        path = exchange.path.decode(errors="replace").removeprefix("/")
        if method == "OPTIONS" and "access-control-request-method" in headers:
            return self._edge.cors.preflight()
        match = self._routes.match(method, path)
        if match is None and method == "HEAD":
            match = self._routes.match("GET", path)
        if match is None:
            return self._unrouted(method, path)
        try:
            query = query_of(exchange.query, lists=self._edge.query_lists)
        except BadQuery as error:
            return errors.text_response(400, f"Bad Request: {error}")
        return Handling(self._edge, match, exchange, query, headers)

    def _unrouted(self, method: str, path: str) -> Response:
        allowed = self._routes.methods(path)
        if not allowed and not (method == "OPTIONS" and path == "*"):
            return errors.error_response(404, errors.NOT_FOUND, "Not Found")
        allow = (b"allow", ", ".join(dict.fromkeys([*allowed, "OPTIONS"])).encode())
        return Response(204 if method == "OPTIONS" else 405, (allow,), b"")


async def _respond(exchange: Exchange, response: Response, cors: tuple[Header, ...]) -> None:
    status, headers, body = response
    if status in _WITHOUT_BODY:
        body = b""
        headers = [header for header in headers if header[0] != b"content-type"]
    await exchange.respond(status, (*headers, *cors), body)


async def _stream(exchange: Exchange, streamed: Streamed, cors: tuple[Header, ...]) -> None:
    """A stream that is cut is not completed: whoever runs this ends the connection."""
    send = exchange.send
    status, headers, first = streamed.head
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *cors]})
    if exchange.method == "HEAD" or status in _WITHOUT_BODY:
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": first, "more_body": True})
    if await streamed.pieces(send):
        await send({"type": "http.response.body", "body": b""})
