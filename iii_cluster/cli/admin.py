"""Asking admin ports."""

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from iii_cluster.access.trust import Secured, Trust, untrusted

from .gateway import Unreachable, secured

TIMEOUT = 3.0  # seconds
MAX_ANSWER = 64 * 2**20  # bytes
# Of those who want a token: nobody else is shown one, whatever listens where a node was looked for.
CHALLENGE = 'Bearer realm="admin"'


class Refused(Unreachable):
    """Somebody listens, but not to us: for want of TLS, of a certificate, of a token."""


class Way(Struct, frozen=True):
    """How admin ports are asked."""

    secured: Secured | None = None  # with https; None: as the system does it
    token: str = ""  # shown where one is wanted
    sure: bool = False  # who listens is known: the token is shown at once


DIRECT = Way()


def ask_admin(
    base_url: str, path: str, post: dict[str, Any] | None = None, timeout: float = TIMEOUT, way: Way = DIRECT
) -> tuple[int, Any]:
    """HTTP status and JSON body of GET `path`, or of POST with a body; raises Unreachable."""
    shown = {"Authorization": f"Bearer {way.token}"} if way.token else {}
    status, challenge, body = _exchange(base_url, path, post, timeout, way, shown if way.sure else {})
    if status == http.client.UNAUTHORIZED and challenge == CHALLENGE and shown and not way.sure:
        status, _, body = _exchange(base_url, path, post, timeout, way, shown)
    return status, body


def _exchange(
    base_url: str, path: str, post: dict[str, Any] | None, timeout: float, way: Way, headers: dict[str, str]
) -> tuple[int, str, Any]:
    """Status, how one is asked for a token, body."""
    try:
        parts = urlsplit(base_url)
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, timeout, way)
    except ValueError as error:
        raise Unreachable(f"no admin port answers at {base_url}: {error}") from None
    method, body = "GET", None
    if post is not None:
        method, body = "POST", json.dumps(post)
        headers = {**headers, "Content-Type": "application/json"}
    try:
        connection.request(method, parts.path.rstrip("/") + path, body, headers)
        with connection.getresponse() as answer:
            return answer.status, answer.headers.get("WWW-Authenticate", ""), _json(answer)
    except ssl.SSLError as error:
        raise Refused(untrusted(base_url, error)) from None
    except (http.client.BadStatusLine, ConnectionResetError):
        wanted = "a certificate (--client-cert)" if parts.scheme == "https" else "TLS (--tls)"
        raise Refused(f"what listens at {base_url} is no admin port, or wants {wanted}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"no admin port answers at {base_url}: {error}") from None
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, timeout: float, way: Way) -> http.client.HTTPConnection:
    """No proxy: admin ports are on this machine or next to it. Raises ValueError, Unreachable."""
    if scheme not in ("http", "https") or not host:
        raise ValueError("expected an address such as http://127.0.0.1:49140")
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    return _Https(host, port, timeout, way.secured or secured(Trust()))


class _Https(http.client.HTTPSConnection):
    """The certificate may have to be for another name than the host's."""

    def __init__(self, host: str, port: int | None, timeout: float, secured: Secured) -> None:
        super().__init__(host, port, timeout=timeout, context=secured.context)
        self._secured = secured

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        name = self._secured.name or self.host
        self.sock = self._secured.context.wrap_socket(self.sock, server_hostname=name)


def _json(answer: http.client.HTTPResponse) -> Any:
    """Raises ValueError for what is no JSON, unless it is an error's."""
    try:
        return json.loads(answer.read(MAX_ANSWER))
    except ValueError:
        if answer.status < http.client.BAD_REQUEST:
            raise
        return {}
