"""What a function gets of a request. Pure."""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw, Struct

from iii_cluster.protocol.payload import BadPayload, check_text

from .bound import Bound

NULL = Raw(b"null")
MAX_BAGGAGE = 8192  # bytes

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,256})?"
)
_BAGGAGE = re.compile(r"[\x20-\x7e]+")
_check_json = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder().encode


class BadQuery(ValueError):
    """It is no text."""


class Request(Struct):
    """Without its channels."""

    query_params: dict[str, Any]
    path_params: dict[str, str]
    headers: dict[str, str]
    path: Raw
    method: str
    body: Raw
    trigger: Raw


def payload(
    bound: Bound,
    method: str,
    parameters: dict[str, str],
    query: dict[str, Any],
    headers: dict[str, str],
    body: Raw,
) -> bytes:
    """What a condition gets."""
    return _encode(Request(query, parameters, headers, bound.path_json, method, body, bound.trigger_json))


def with_channels(data: bytes, request_body: bytes, response: bytes) -> bytes:
    """`payload` with the references a handler gets besides."""
    return b'%b,"request_body":%b,"response":%b}' % (data[:-1], request_body, response)


def middleware_input(method: str, parameters: dict[str, str], query: dict[str, Any], headers: dict[str, str]) -> bytes:
    request = {"path_params": parameters, "query_params": query, "headers": headers, "method": method}
    return _encode({"phase": "preHandler", "request": request, "context": {}})


def headers_of(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Of two with one name the later counts; a value that is no text is empty."""
    headers = {}
    for name, value in raw:
        try:
            headers[name.decode("latin-1")] = value.decode()
        except UnicodeDecodeError:
            headers[name.decode("latin-1")] = ""
    return headers


def query_of(raw: bytes, *, lists: bool = False) -> dict[str, Any]:
    """Of two with one key the later counts; with `lists` they are a list. Raises BadQuery."""
    if not raw:
        return {}
    query: dict[str, Any] = {}
    try:
        for part in raw.split(b"&"):
            if not part:
                continue
            name, _, value = part.partition(b"=")
            key, text = _decoded(name), _decoded(value)
            if lists and key in query:
                before = query[key]
                query[key] = [*before, text] if isinstance(before, list) else [before, text]
            else:
                query[key] = text
    except UnicodeDecodeError:
        raise BadQuery("the query is not UTF-8") from None
    return query


def _decoded(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()


def is_json(content_type: str) -> bool:
    return "application/json" in content_type.lower()


def announced(headers: dict[str, str]) -> int:
    """Bytes of the body as the client says."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def has_body(headers: dict[str, str]) -> bool:
    return announced(headers) > 0 or "transfer-encoding" in headers


def json_body(raw: bytes) -> Raw:
    """The text itself, or null when it is not JSON, or would harm who reads it."""
    if not raw:
        return NULL
    try:
        check_text(raw)
        return _check_json(raw)
    except (msgspec.MsgspecError, BadPayload, RecursionError):
        return NULL


def trace_of(headers: dict[str, str]) -> tuple[bytes, bytes]:
    """Traceparent and baggage as JSON strings, empty when there are none, or no valid ones."""
    traceparent, baggage = headers.get("traceparent", ""), headers.get("baggage", "")
    if traceparent and not _valid(traceparent):
        traceparent = ""
    if baggage and (len(baggage) > MAX_BAGGAGE or _BAGGAGE.fullmatch(baggage) is None):
        baggage = ""
    return (_encode(traceparent) if traceparent else b"", _encode(baggage) if baggage else b"")


def _valid(traceparent: str) -> bool:
    """Later versions than 00 may have more at the end."""
    return _TRACEPARENT.fullmatch(traceparent) is not None and (len(traceparent) == 55 or traceparent[:2] != "00")
