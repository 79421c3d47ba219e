"""The request that a call becomes."""

import re
import time
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from iii_cluster.outgoing.answer import Headers
from iii_cluster.outgoing.urls import Target
from iii_cluster.protocol.errors import EngineError

from .credentials import Credentials, Nobody
from .definition import HttpFunction
from .failures import REQUEST_FAILED

MAX_TRACE = 8192  # characters of a `traceparent` or a `baggage`

_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_BODILESS = "GET"


class CallOf(Struct, frozen=True):
    """One call. `data` is JSON or empty; `traceparent` and `baggage` are JSON strings, quotes included, or empty."""

    function: str
    id: str
    data: bytes
    traceparent: bytes = b""
    baggage: bytes = b""


class Request(Struct, frozen=True):
    """What is sent. The headers of every sending are made anew: their timestamp is signed."""

    target: Target
    method: str
    body: bytes
    own: tuple[tuple[str, str], ...]  # about the call
    custom: tuple[tuple[str, str], ...]
    credentials: Credentials

    def headers(self, now: float | None = None) -> Headers:
        """`now` is Unix time."""
        timestamp = str(int(time.time() if now is None else now))
        headers = [*self.own, ("x-iii-Timestamp", timestamp)]
        if self.body:
            headers.append(("Content-Type", "application/json"))
        headers = _replaced(headers, self.custom)
        return _replaced(headers, self.credentials.headers(timestamp, self.body))

    def redirected(self, status: int, target: Target) -> "Request":
        """To where the answer pointed. Whoever is there, if it is somebody else, gets no credentials."""
        same = target.origin == self.target.origin
        changed = status == 303 or (status in (301, 302) and self.method == "POST")  # as all clients do
        return Request(
            target,
            _BODILESS if changed else self.method,
            b"" if changed else self.body,
            self.own,
            self.custom if same else (),
            self.credentials if same else Nobody(),
        )


def request_of(function: HttpFunction, call: CallOf) -> Request:
    """Raises EngineError for a function whose id fits no header."""
    if not _PRINTABLE.fullmatch(call.function):
        raise EngineError(REQUEST_FAILED, "the function's id has characters that no header may have")
    own = [("x-iii-Function-Path", call.function), ("x-iii-Invocation-ID", call.id)]
    own += [(name, text) for name, raw in _traces(call) if (text := _trace(raw))]
    return Request(
        function.target, function.method, call.data or b"null", tuple(own), function.headers, function.credentials
    )


def _traces(call: CallOf) -> Iterator[tuple[str, bytes]]:
    yield "traceparent", call.traceparent
    yield "baggage", call.baggage


def _trace(raw: bytes) -> str:
    """Empty for what is no header."""
    if raw[:1] != b'"':
        return ""
    text: str = msgspec.json.decode(raw)
    return text if len(text) <= MAX_TRACE and _PRINTABLE.fullmatch(text) else ""


def _replaced(headers: Headers, others: Iterable[tuple[str, str]]) -> Headers:
    """With `others`, which win over those of the same name."""
    added = list(others)
    names = {name.lower() for name, _ in added}
    return [(name, value) for name, value in headers if name.lower() not in names] + added
