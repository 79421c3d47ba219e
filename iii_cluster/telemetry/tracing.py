"""Spans of this process, and the context that travels with a call. Pure but for the clock and random ids."""

import time
from secrets import token_hex

import msgspec

from .records import Kind, Span
from .spool import Spool

Trace = tuple[bytes, bytes]  # traceparent and baggage, JSON strings or empty
NO_TRACE: Trace = (b"", b"")

Value = str | int | float | bool


class Recording:
    """A span that goes on. What its work causes carries `trace`."""

    __slots__ = ("_spool", "span", "trace")

    def __init__(self, span: Span, trace: Trace, spool: Spool) -> None:
        self.span = span
        self.trace = trace
        self._spool = spool

    def set(self, key: str, value: Value) -> None:
        self.span.attributes.append((key, str(value)))

    def end(self, error: bytes = b"") -> None:
        """`error` is an error body, JSON; b"": it went well."""
        self.span.end_time_unix_nano = time.time_ns()
        self.span.status = "error" if error else "ok"
        self._spool.span(self.span)


class Tracer:
    """One per process."""

    def __init__(self, spool: Spool, service: str = "iii", *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._spool = spool
        self._service = service

    def begin(
        self, name: str, trace: Trace = NO_TRACE, kind: Kind = Kind.INTERNAL, *, root: bool = True, function: str = ""
    ) -> Recording | None:
        """A span that continues `trace`; with `root` also one that begins a trace where there is none. None: this
        trace is not recorded, whatever is caused carries what was there.

        `function`: id of what is called; it becomes an attribute, and what the baggage says of it is put right.
        """
        if not self.enabled or not (root or trace[0]):
            return None
        parts = msgspec.json.decode(trace[0], type=str).split("-") if trace[0] else ["00", token_hex(16), "", "01"]
        span_id = token_hex(8)
        span = Span(parts[1], span_id, parts[2] or None, name, time.time_ns(), 0, "unset", [], self._service)
        span.kind = kind
        if function:
            span.attributes.append(("function_id", function))
        return Recording(span, (f'"00-{parts[1]}-{span_id}-01"'.encode(), trace[1]), self._spool)
