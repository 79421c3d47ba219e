"""The `invocation` block of a registration: what is called, how, and with whose credentials."""

import re
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from iii_cluster.outgoing.urls import Target
from iii_cluster.protocol.errors import INVALID_ARGUMENTS, EngineError

from .credentials import ApiKey, Auth, Bearer, Credentials, Hmac, Nobody, Variables

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})

DEFAULT_TIMEOUT_MS = 30_000
MAX_TIMEOUT_MS = 24 * 3600 * 1000
MAX_HEADERS = 64
MAX_HEADER_BYTES = 16_384  # names and values together

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Of the connection, not of the function.
_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Receivers trust these.
_OURS = frozenset({"x-iii-signature", "x-iii-timestamp", "x-iii-function-path", "x-iii-invocation-id"})


class _Bearer(Struct, tag_field="type", tag="bearer"):
    token_key: str


class _ApiKey(Struct, tag_field="type", tag="api_key"):
    header: str
    value_key: str


class _Hmac(Struct, tag_field="type", tag="hmac"):
    secret_key: str


class _Invocation(Struct):
    url: str
    method: str | None = None
    timeout_ms: int | None = None
    headers: dict[str, str] | None = None
    auth: _Bearer | _ApiKey | _Hmac | None = None


class HttpFunction(Struct, frozen=True, eq=False):
    """A function behind an HTTP address. Its credentials and its headers show up nowhere."""

    target: Target
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    timeout: float = DEFAULT_TIMEOUT_MS / 1000  # seconds for all of a call
    headers: tuple[tuple[str, str], ...] = ()
    credentials: Credentials = Nobody()

    def __repr__(self) -> str:
        return f"HttpFunction({self.method} {self.target.place})"


_decode = msgspec.json.Decoder(_Invocation).decode


def read_invocation(raw: Raw | bytes, check: Callable[[str], Target], variables: Variables) -> HttpFunction:
    """What a worker registers. Raises EngineError; its text repeats no value."""
    try:
        said = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(INVALID_ARGUMENTS, f"invocation: {_without_values(error)}") from None
    method = (said.method or "POST").upper()
    if method not in METHODS:
        raise EngineError(INVALID_ARGUMENTS, f"invocation: method must be one of {', '.join(METHODS)}")
    timeout_ms = DEFAULT_TIMEOUT_MS if said.timeout_ms is None else said.timeout_ms
    if not 0 < timeout_ms <= MAX_TIMEOUT_MS:
        raise EngineError(INVALID_ARGUMENTS, f"invocation: timeout_ms must be 1 to {MAX_TIMEOUT_MS}")
    headers = tuple((said.headers or {}).items())
    _check_headers(headers)
    target = check(said.url)
    auth = None if said.auth is None else _auth(said.auth)
    credentials = Nobody() if auth is None else auth.read(variables)
    return HttpFunction(target, method, timeout_ms / 1000, headers, credentials)  # type: ignore[arg-type]


def _auth(said: _Bearer | _ApiKey | _Hmac) -> Auth:
    if isinstance(said, _Bearer):
        return Bearer(said.token_key)
    if isinstance(said, _Hmac):
        return Hmac(said.secret_key)
    _check_name(said.header)
    return ApiKey(said.header, said.value_key)


def _check_headers(headers: tuple[tuple[str, str], ...]) -> None:
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        reason = f"invocation: at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together"
        raise EngineError(INVALID_ARGUMENTS, reason)
    for name, value in headers:
        _check_name(name)
        if _CONTROL.search(value):
            raise EngineError(INVALID_ARGUMENTS, f"invocation: the value of header {name} has control characters")


def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise EngineError(INVALID_ARGUMENTS, "invocation: a header has a name that no header may have")
    if name.lower() in _FRAMING | _OURS:
        raise EngineError(INVALID_ARGUMENTS, f"invocation: header {name} is set by the gateway")


def _without_values(error: Exception) -> str:
    """What the decoder said, unless it quotes the input."""
    text, _, place = str(error).partition(" - at ")
    at = f" at {place}" if place else ""
    return text + at if text.startswith(("Expected", "Object missing")) else "not valid" + at
