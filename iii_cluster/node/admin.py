"""The admin port of every process, JSON over HTTP: pages, such as /healthz, and actions to POST, such as /drain."""

import socket
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvicorn

from .asgi import asgi_config

Page = Callable[[], tuple[int, Any]]  # HTTP status, JSON-able body
Action = Callable[[bytes], Awaitable[tuple[int, Any]]]  # the same, for a body of JSON
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

BACKLOG = 64
SHUTDOWN_TIMEOUT = 1  # s, for requests in flight
MAX_BODY = 4096  # bytes of a request


def bind(host: str, port: int) -> socket.socket:
    """A listening address taken before the server runs, so that the port (0: any) can be announced."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


class Admin:
    """Serves `pages` and `actions`, by path, on a bound socket, on the running loop."""

    def __init__(self, listener: socket.socket, pages: Mapping[str, Page], actions: Mapping[str, Action]) -> None:
        self._listener = listener
        self._pages = pages
        self._actions = actions
        config = asgi_config(self._app, backlog=BACKLOG, timeout_graceful_shutdown=SHUTDOWN_TIMEOUT)
        # `Server.serve` would take the process' signals and wake up ten times a second; its two halves do neither.
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    async def start(self) -> None:
        await self._server.startup(sockets=[self._listener])

    async def stop(self) -> None:
        await self._server.shutdown(sockets=[self._listener])

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, content = await self._respond(scope, receive)
        body = msgspec.json.encode(content) + b"\n"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        page, action = self._pages.get(scope["path"]), self._actions.get(scope["path"])
        if page is None and action is None:
            return 404, {"error": "not found"}
        if page is not None and scope["method"] in ("GET", "HEAD"):
            return page()
        if action is None or scope["method"] != "POST":
            return 405, {"error": "method not allowed"}
        if (refusal := refused(scope)) is not None:
            return refusal
        body = await _read(receive)
        if len(body) > MAX_BODY:
            return 413, {"error": f"a request has {MAX_BODY} bytes at most"}
        return await action(body)


def refused(scope: Scope) -> tuple[int, Any] | None:
    """Why a request may not act: only this host does, and no web page that its browser shows.

    A page can neither send JSON elsewhere without asking first, nor choose the Host header; a name it had resolve
    to this host shows there.
    """
    headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    client = scope.get("client")
    if client is None or not _loopback(client[0]):
        return 403, {"error": "only from this host"}
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _loopback(_host_name(hosts[0])):
        return 403, {"error": "the Host header must name localhost"}
    kinds = [value.partition(";")[0].strip().lower() for name, value in headers if name == b"content-type"]
    if kinds != ["application/json"]:
        return 415, {"error": "the content type must be application/json"}
    return None


def _host_name(header: str) -> str:
    """The name or address in a Host header, without port and brackets; "" if it makes no sense."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


async def _read(receive: Receive) -> bytes:
    """The body, or little more than the first MAX_BODY bytes of it."""
    body = b""
    while len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body
