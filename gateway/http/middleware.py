"""What middleware functions answer. Pure."""

import logging
from collections.abc import Collection
from typing import Any

import msgspec

from .response import JSON, Response, headers_of, status_of, texts

log = logging.getLogger(__name__)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def verdict(function: str, result: bytes, owned: Collection[bytes] = ()) -> Response | None:
    """The response that ends the request here; None to go on, also after what is no answer at all."""
    said: Any = _decode(result) if result else None
    if not isinstance(said, dict):
        said = {}
    action = said.get("action")
    if action == "respond":
        return _response(said.get("response"), owned)
    if action != "continue":
        log.warning("action=http_middleware_ignored function=%s reason=it names no known action", function)
    return None


def _response(asked: Any, owned: Collection[bytes]) -> Response:
    """The body is JSON always. Headers that are not all text are none."""
    if not isinstance(asked, dict):
        asked = {}
    named = asked.get("headers")
    usable = isinstance(named, dict) and all(texts(name, value) for name, value in named.items())
    headers = headers_of(named, owned) if usable else []
    if not any(name == b"content-type" for name, _ in headers):
        headers.append(JSON)
    return Response(status_of(_encode(asked.get("status_code"))), headers, _encode(asked.get("body")))
