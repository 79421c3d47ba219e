"""Spans of this process. Pure but for the default clock and random ids."""

import time
from collections.abc import Callable, Mapping
from random import Random

from iii_cluster.protocol import errors

from .context import NO_TRACE, Trace, for_function, left_out, parent_of
from .records import Event, Kind, Span
from .redaction import redact_text
from .sampling import Sampler
from .spool import Spool

__all__ = ["NO_TRACE", "Recording", "Trace", "Tracer", "Value"]

Value = str | int | float | bool

# Flags of a traceparent.
_SAMPLED = b"01"
_SAMPLED_RANDOM = b"03"
# Of what a span tells of an error, characters.
MAX_MESSAGE = 4096
MAX_STACK = 16_384
MAX_CODE = 256


class Recording:
    """A span that goes on. What its work causes carries `trace`; `incoming` is what it continues itself."""

    __slots__ = (
        "_attributes", "_events", "_tracer", "incoming", "kind", "name", "parent_id", "span_id", "start", "trace",
        "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        tracer: "Tracer",
        name: str,
        kind: Kind,
        trace_id: str,
        parent_id: str | None,
        incoming: Trace,
        flags: bytes,
    ) -> None:
        self._tracer: Tracer | None = tracer  # None: it has ended
        self._attributes: dict[str, str] = {}
        self._events: list[Event] | None = None
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = span_id = tracer.new_span_id()
        self.parent_id = parent_id
        self.incoming = incoming
        self.trace: Trace = (b'"00-%b-%b-%b"' % (trace_id.encode(), span_id.encode(), flags), incoming[1])
        self.start = tracer.now()

    def set(self, key: str, value: Value) -> None:
        """An attribute; a later value replaces an earlier one."""
        self._attributes[key] = _text(value)

    def event(self, name: str, attributes: Mapping[str, Value] | None = None) -> None:
        """Something that happens now."""
        if self._tracer is None:
            return
        said = [(key, _text(value)) for key, value in (attributes or {}).items()]
        if self._events is None:
            self._events = []
        self._events.append(Event(name, self._tracer.now(), said))

    def end(self, error: bytes = b"", *, failed: bool = False) -> None:
        """`error` is an error body, JSON; b"": it went well, unless it `failed` without one. The first end counts."""
        tracer, self._tracer = self._tracer, None
        if tracer is None:
            return
        ended = max(tracer.now(), self.start)
        description = self._failed(error, ended) if error else None
        span = Span(
            self.trace_id,
            self.span_id,
            self.parent_id,
            self.name,
            self.start,
            ended,
            "error" if error or failed else "ok",
            list(self._attributes.items()),
            tracer.service,
            description,
        )
        if self._events is not None:
            span.events = self._events
        span.kind = self.kind
        tracer.spool.span(span)

    def _failed(self, error: bytes, now: int) -> str:
        """Say what went wrong; returns it in one line."""
        try:
            body = errors.read(error)
        except ValueError:
            body = errors.ErrorBody(message=error.decode(errors="replace"))
        code, message = body.code[:MAX_CODE], redact_text(body.message[:MAX_MESSAGE])
        self._attributes["error.type"] = code
        self._attributes["error.message"] = message
        told = [("exception.type", code), ("exception.message", message)]
        if body.stacktrace:
            stack = redact_text(body.stacktrace[:MAX_STACK])
            self._attributes["error.stack"] = stack
            told.append(("exception.stacktrace", stack))
        if self._events is None:
            self._events = []
        self._events.append(Event("exception", now, told))
        return f"{code}: {message}"


class Tracer:
    """One per process."""

    def __init__(
        self,
        spool: Spool,
        service: str = "iii",
        *,
        enabled: bool = True,
        sampler: Sampler | None = None,
        clock: Callable[[], int] = time.time_ns,
        random: Random | None = None,
    ) -> None:
        """`clock` gives nanoseconds since the epoch."""
        self.spool = spool
        self.service = service
        self.sampler = sampler or Sampler()
        self.enabled = enabled and self.sampler.ever  # False: nothing is ever recorded
        self.node = ""  # the attribute `iii.node` of all spans
        self.now = clock
        self._bits = (random or Random()).getrandbits
        # Of contexts that are not recorded: ids that are told apart, made quickly.
        self._head = b'"00-%020x' % (self._bits(80) or 1)
        self._tail = b'%016x-00"' % (self._bits(64) or 1)
        self._declined = self._bits(48)

    def begin(
        self,
        name: str,
        trace: Trace = NO_TRACE,
        kind: Kind = Kind.INTERNAL,
        *,
        root: bool = True,
        function: str = "",
    ) -> Recording | None:
        """A span that continues `trace`; with `root` also one that begins a trace where there is none. None: this
        trace is not recorded, whatever is caused carries what was there.

        `function`: id of what is called; it becomes an attribute, and what the baggage says of it is put right.
        """
        if not self.enabled or left_out(trace[0]):
            return None
        parent = parent_of(trace[0]) if trace[0] else None
        if parent is not None:
            if not self.sampler.follow(parent, name, self.service):
                return None
            flags = _SAMPLED_RANDOM if parent.random else _SAMPLED
            recording = Recording(self, name, kind, parent.trace_id, parent.span_id, trace, flags)
        else:
            if not root:
                return None
            tail = self.sampler.begin(name, self.service)
            if tail < 0:
                return None
            trace_id = f"{self._bits(64) or 1:016x}{tail:016x}"
            recording = Recording(self, name, kind, trace_id, None, trace, _SAMPLED)
        if self.node:
            recording.set("iii.node", self.node)
        if function:
            recording.set("function_id", function)
            if trace[1]:
                recording.trace = (recording.trace[0], for_function(trace[1], function))
        return recording

    def declined(self, baggage: bytes = b"") -> Trace:
        """What a trace that could have begun here and is not recorded gives to what it causes: without a word, an SDK
        would begin one of its own instead, without its head."""
        self._declined = number = (self._declined + 1) & 0xFFFFFFFFFFFF
        return b"%b%012x-%b" % (self._head, number, self._tail), baggage

    def new_span_id(self) -> str:
        return f"{self._bits(64) or 1:016x}"


def _text(value: Value) -> str:
    if value.__class__ is bool:
        return "true" if value else "false"
    return str(value)
