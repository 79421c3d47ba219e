"""The console as an ASGI application: the rules first, then files, the API or a live socket."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from iii_cluster.node.requests import Receive, Scope, Send, header, read_body

from .assets import Asset
from .failure import Failure
from .gate import Gate
from .routes import Request, Routes, query_of

MAX_BODY = 2**20  # bytes of a request
BODY_TIMEOUT = 30.0  # s from the end of a head to the end of its body
LIVE = "/live"
API = ("/api/", "/_console/")
REFERENCE = "/_console/"  # whose errors are plain text

HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
JSON = (b"content-type", b"application/json")
CHALLENGE = (b"www-authenticate", b'Bearer realm="console"')
NO_STORE = (b"cache-control", b"no-store")
NO_CACHE = (b"cache-control", b"no-cache")

logger = logging.getLogger(__name__)

Live = Callable[[Scope, Receive, Send], Awaitable[None]]


class Application:
    """`live` serves sockets that passed the rules, but for the token."""

    def __init__(self, gate: Gate, assets: Mapping[str, Asset], routes: Routes, live: Live) -> None:
        self._gate = gate
        self._assets = assets
        self._routes = routes
        self._live = live
        self._failed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        try:
            self._gate.check_place(scope)
            if scope["path"].startswith(API):
                status, headers, body = 200, [JSON, NO_STORE], await self._api(scope, receive)
            else:
                status, headers, body = self._asset(scope)
        except Failure as failure:
            status, headers, body = failure.status, _headers(failure), _told(scope, failure)
        except Exception:
            logger.exception("action=console_request_failed path=%r", scope["path"][:200])
            failed = Failure(500, "internal_error", "the console failed; see the coordinator's log")
            status, headers, body = failed.status, _headers(failed), _told(scope, failed)
        headers = [*HEADERS, *headers]
        if status != 304:  # whose length would be that of what it stands for
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _asset(self, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Open to all: there is nothing of the cluster in them."""
        asset = self._assets.get(scope["path"])
        if asset is None:
            raise Failure(404, "not_found", "there is nothing here")
        if scope["method"] not in ("GET", "HEAD"):
            raise Failure(405, "not_allowed", "this path takes GET")
        headers = [(b"content-type", asset.kind), (b"etag", asset.tag), NO_CACHE]
        if asset.tag.decode() in header(scope, b"if-none-match"):
            return 304, headers, b""
        return 200, headers, asset.content

    async def _api(self, scope: Scope, receive: Receive) -> bytes:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        shown = header(scope, b"authorization")
        now = asyncio.get_running_loop().time()
        self._gate.check_reader(shown, now)
        route, place = self._routes.find(method, scope["raw_path"].decode("latin-1"))
        if route.writes:
            self._gate.check_writer(shown, now)
        request = Request(place, query_of(scope["query_string"].decode("latin-1")), b"", shown, _address(scope))
        if method in ("POST", "PUT"):
            self._gate.check_content(scope)
            try:
                async with asyncio.timeout(BODY_TIMEOUT):
                    body = await read_body(receive, MAX_BODY)
            except TimeoutError:
                raise Failure(408, "timeout", "the body took too long") from None
            if body is None:
                raise Failure(413, "too_large", f"a request has {MAX_BODY} bytes at most")
            request.body = body
        return await route.handler(request)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._gate.check_place(scope)
            if scope["path"] != LIVE:
                raise Failure(404, "not_found", "there is nothing here")
            await self._live(scope, receive, send)
        except Failure as failure:  # before the handshake
            await _refuse(send, failure)


def _headers(failure: Failure) -> list[tuple[bytes, bytes]]:
    return [JSON, NO_STORE, CHALLENGE] if failure.status == 401 else [JSON, NO_STORE]


def _told(scope: Scope, failure: Failure) -> bytes:
    if scope["path"].startswith(REFERENCE):
        return msgspec.json.encode({"error": failure.message})
    return msgspec.json.encode(failure.body())


async def _refuse(send: Send, failure: Failure) -> None:
    body = msgspec.json.encode(failure.body())
    headers = [*HEADERS, JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": failure.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _address(scope: Scope) -> str:
    client: Any = scope.get("client")
    return client[0] if client else ""
