"""Requests as ASGI hands them over: headers as text, the host they name, bodies of limited size."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def header(scope: Scope, name: bytes) -> list[str]:
    """Every value of a header (its name in lower case), as tokens are compared."""
    return [value.decode("ascii", "surrogateescape") for key, value in scope["headers"] if key.lower() == name]


def host_name(host: str) -> str:
    """The name or address in a Host header, without port and brackets; "" if it makes no sense."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_json(scope: Scope) -> bool:
    """Whether the content type says so, once: no web page may send that elsewhere without asking first."""
    kinds = [value.partition(";")[0].strip().lower() for value in header(scope, b"content-type")]
    return kinds == ["application/json"]


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """None when it has more than `limit` bytes."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body"):
            return body
