"""The admin port of every process: pages of JSON, such as /healthz, actions to POST, such as /drain, and metrics. The
port for metrics alone is another one of these."""

import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from iii_cluster.access.tls import TlsFiles
from iii_cluster.access.tokens import Tokens
from iii_cluster.config.hosts import is_loopback

from .asgi import asgi_config
from .requests import Receive, Scope, Send, header, host_name, is_json, read_body
from .serving import Serving

Page = Callable[[], tuple[int, Any]]  # HTTP status, JSON-able body
Action = Callable[[bytes], Awaitable[tuple[int, Any]]]  # the same, for a body of JSON
Text = Callable[[str], Awaitable[tuple[str, bytes]]]  # (Accept header): content type and body

BACKLOG = 64
SHUTDOWN_TIMEOUT = 1  # s, for requests in flight
MAX_BODY = 4096  # bytes of a request
PROBES = ("/healthz", "/readyz")  # who looks whether a process lives has no token
CHALLENGE = (b"www-authenticate", b'Bearer realm="admin"')

log = logging.getLogger(__name__)


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
    """Serves `pages`, `actions` and `texts`, by path, on a bound socket, on the running loop.

    Where there are `tokens`, one has to be shown for all but PROBES.
    """

    def __init__(
        self,
        listener: socket.socket,
        pages: Mapping[str, Page],
        actions: Mapping[str, Action],
        tls: TlsFiles | None = None,
        tokens: Tokens | None = None,
        texts: Mapping[str, Text] | None = None,
    ) -> None:
        self._pages = pages
        self._actions = actions
        self._texts = texts or {}
        self._tokens = tokens or Tokens()
        self._refused = 0
        config = asgi_config(self._app, backlog=BACKLOG, timeout_graceful_shutdown=SHUTDOWN_TIMEOUT)
        self._serving = Serving(listener, config, tls, (self._tokens,))

    async def start(self) -> None:
        await self._serving.start()

    async def stop(self) -> None:
        await self._serving.stop()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind, more = "application/json", []
        if not self._is_known(scope):
            status, content = 401, _json({"error": "this port wants a token: Authorization: Bearer ..."})
            more.append(CHALLENGE)
        elif (text := self._texts.get(scope["path"])) is not None and scope["method"] in ("GET", "HEAD"):
            status = 200
            kind, content = await text(", ".join(header(scope, b"accept")))
        else:
            status, answer = await self._respond(scope, receive)
            content = _json(answer)
        headers = [(b"content-type", kind.encode()), *more, (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    def _is_known(self, scope: Scope) -> bool:
        """Whether the request shows a token, or needs none."""
        if not self._tokens.required or scope["path"] in PROBES:
            return True
        shown = header(scope, b"authorization")
        if self._tokens.accepts_any(shown):
            return True
        if not shown:  # our own commands ask first, too
            return False
        self._refused += 1
        if self._refused.bit_count() == 1:
            log.warning("action=admin_token_refused address=%s count=%d", (scope["client"] or ("",))[0], self._refused)
        return False

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        page, action = self._pages.get(scope["path"]), self._actions.get(scope["path"])
        if page is None and action is None and scope["path"] not in self._texts:
            return 404, {"error": "not found"}
        if page is not None and scope["method"] in ("GET", "HEAD"):
            return page()
        if action is None or scope["method"] != "POST":
            return 405, {"error": "method not allowed"}
        if (refusal := refused(scope)) is not None:
            return refusal
        body = await read_body(receive, MAX_BODY)
        if body is None:
            return 413, {"error": f"a request has {MAX_BODY} bytes at most"}
        return await action(body)


def _json(content: Any) -> bytes:
    return msgspec.json.encode(content) + b"\n"


def refused(scope: Scope) -> tuple[int, Any] | None:
    """Why a request may not act: only this host does, and no web page that its browser shows.

    A page can neither send JSON elsewhere without asking first, nor choose the Host header; a name it had resolve
    to this host shows there.
    """
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return 403, {"error": "only from this host"}
    hosts = header(scope, b"host")
    if len(hosts) != 1 or not is_loopback(host_name(hosts[0])):
        return 403, {"error": "the Host header must name localhost"}
    if not is_json(scope):
        return 415, {"error": "the content type must be application/json"}
    return None
