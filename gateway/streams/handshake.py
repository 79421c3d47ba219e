"""What the auth function gets of a client's handshake, and the trace it comes in. Pure."""

import msgspec
from msgspec import Struct
from websockets.datastructures import Headers

from iii_cluster.telemetry.context import NO_TRACE, Trace, parent_of

_encode = msgspec.json.Encoder().encode


class _Handshake(Struct):
    headers: dict[str, str]
    path: str
    query_params: dict[str, list[str]]
    addr: str  # "10.0.0.7:51522"


def handshake(headers: Headers, target: str, address: str) -> bytes:
    """As JSON. `target`: path and query as the client sent them."""
    path, _, query = target.partition("?")
    return _encode(_Handshake(_plain(headers), path, query_params(query), address))


def trace_of(headers: Headers) -> Trace:
    """Of what the client causes; browsers send none."""
    said = headers.get_all("traceparent")
    traceparent = _encode(said[0]) if len(said) == 1 and said[0].isascii() else b""
    if parent_of(traceparent) is None:
        return NO_TRACE
    baggage = ",".join(headers.get_all("baggage"))
    return traceparent, _encode(baggage) if baggage.isascii() and baggage else b""


def query_params(query: str) -> dict[str, list[str]]:
    """Every value of every key, as they are: nothing is decoded."""
    params: dict[str, list[str]] = {}
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key:
            params.setdefault(key, []).append(value)
    return params


def _plain(headers: Headers) -> dict[str, str]:
    """One value for each name, the last one; those that are no text are left out."""
    return {name.lower(): value for name, value in headers.raw_items() if value.isascii()}
