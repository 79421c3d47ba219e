"""What is sent back for a request, and how functions say it."""

import logging
import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

log = logging.getLogger(__name__)

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")

# Those of the connection, and those that say where a body ends, are ours.
_OURS = frozenset(
    (
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,256}")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
MAX_HEADERS = 200
MAX_HEADER_BYTES = 64 * 2**10  # names and values of one response
MAX_WARNED = 1000  # headers, and functions, that there is a log line of


class Response(NamedTuple):
    """Header names are in lower case; content-length is not among them, the body tells."""

    status: int
    headers: tuple[Header, ...] | list[Header]
    body: bytes


NOTHING = Response(200, (JSON,), b"{}")  # for a function that returned nothing, or no object

_NONE = Raw(b"")


class _Returned(Struct):
    """Each may be anything."""

    status_code: Raw = _NONE
    typed_status: Raw = msgspec.field(name="statusCode", default=_NONE)  # what the Python clients' own types come as
    headers: Raw = _NONE
    body: Raw = _NONE


_decode_returned = msgspec.json.Decoder(_Returned).decode
_decode_any = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode


def from_result(result: bytes, owned: Collection[bytes] = (), function: str = "") -> Response:
    """The response a `function` asks for with what it returned, JSON. `owned` headers of it are left out."""
    try:
        said = _decode_returned(result)
    except msgspec.MsgspecError:
        _warn(function, "answer", "it is no object")
        return NOTHING
    status_code = said.typed_status if said.status_code is _NONE else said.status_code
    status = 200
    if status_code is not _NONE and (raw := bytes(status_code)) != b"null":
        status = status_of(raw)
        if raw != b"%d" % status:
            _warn(function, "answer", "its status is no number from 200 to 599")
    body = bytes(said.body) or b"{}"
    if said.headers is _NONE:
        if status_code is _NONE and said.body is _NONE and result != b"{}":
            _warn(function, "answer", "it has no status_code, headers or body")
        return Response(status, (JSON,), body)
    headers = headers_of(_decoded(said.headers), owned)
    if not any(name == b"content-type" for name, _ in headers):
        headers.append(JSON)
    elif body == b"null":
        body = b""
    elif body[0] == 0x22:  # text is sent as it is
        body = _decode_text(body).encode()
    return Response(status, headers, body)


def _decoded(said: Raw) -> Any:
    """None for what is JSON, but has numbers that nobody can read."""
    try:
        return _decode_any(said)
    except msgspec.MsgspecError:
        return None


def status_of(raw: bytes) -> int:
    """200 for what is no number of a final status."""
    status = int(raw) if raw.isdigit() and len(raw) == 3 else 200
    return status if 200 <= status <= 599 else 200


def headers_of(said: Any, owned: Collection[bytes] = ()) -> list[Header]:
    """Of an object of texts, or lists of them, or of a list of "Name: value". What is neither, or would break the
    response, is left out."""
    headers: list[Header] = []
    size = 0
    for name, value in _pairs(said):
        header = clean(name, value)
        if header is None:
            continue
        if header[0] in owned:
            _warn(name, "header", "the gateway sets it")
            continue
        size += len(header[0]) + len(header[1])
        if len(headers) == MAX_HEADERS or size > MAX_HEADER_BYTES:
            log.warning("action=http_headers_cut reason=more than %d, or %d bytes", MAX_HEADERS, MAX_HEADER_BYTES)
            break
        headers.append(header)
    return headers


def _pairs(said: Any) -> Iterable[tuple[str, str]]:
    if isinstance(said, dict):
        for name, value in said.items():
            for text in texts(name, value):
                yield name, text
    elif isinstance(said, list):
        for line in said:
            name, colon, text = line.partition(":") if isinstance(line, str) else ("", "", "")
            if colon:
                yield name, text
            else:
                _warn("", "header", "it is no 'Name: value'")
    elif said is not None:
        _warn("", "header", "headers are an object or a list")


def texts(name: str, value: Any) -> list[str]:
    """The values of a header: one text or a list of them, else none."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in values):
        _warn(name, "header", "its value is no text")
        return []
    return values


def clean(name: str, value: str) -> Header | None:
    """A header as it can be sent, None for one that cannot."""
    key = name.strip(" \t").lower().encode(errors="replace")
    text = value.strip(" \t").encode(errors="replace")
    if _NAME.fullmatch(key) is None or _VALUE.fullmatch(text) is None:
        _warn(name, "header", "it cannot be sent")
        return None
    if key in _OURS:
        _warn(name, "header", "the gateway sets it")
        return None
    return key, text


_warned: set[tuple[str, str]] = set()


def _warn(name: str, kind: str, reason: str) -> None:
    """Once for each header or function: functions repeat themselves."""
    name = name[:128]
    if (name, kind) not in _warned and len(_warned) < MAX_WARNED:
        _warned.add((name, kind))
        log.warning("action=http_%s_unfit name=%r reason=%s", kind, name, reason)
