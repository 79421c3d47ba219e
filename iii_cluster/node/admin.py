"""The admin port of every process: /healthz, /readyz, /cluster and /status as JSON over HTTP."""

import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import uvicorn

Page = Callable[[], tuple[int, Any]]  # HTTP status, JSON-able body
Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

BACKLOG = 64
SHUTDOWN_TIMEOUT = 1  # s, for requests in flight


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
    """Serves `pages` (path -> page) on a bound socket, on the running loop."""

    def __init__(self, listener: socket.socket, pages: Mapping[str, Page]) -> None:
        self._listener = listener
        self._pages = pages
        config = uvicorn.Config(
            self._app,
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
        )
        config.load()
        # `Server.serve` would take the process' signals and wake up ten times a second; its two halves do neither.
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    async def start(self) -> None:
        await self._server.startup(sockets=[self._listener])

    async def stop(self) -> None:
        await self._server.shutdown(sockets=[self._listener])

    async def _app(self, scope: Scope, _receive: object, send: Send) -> None:
        page = self._pages.get(scope["path"])
        if page is None:
            status, content = 404, {"error": "not found"}
        elif scope["method"] not in ("GET", "HEAD"):
            status, content = 405, {"error": "method not allowed"}
        else:
            status, content = page()
        body = msgspec.json.encode(content) + b"\n"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
