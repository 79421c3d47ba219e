"""The trace context of a write, on its way through an outbox to the shard that calls the triggers. Pure.

A script gets one line per event; each event keeps its own in the outbox.
"""

from collections.abc import Sequence

from iii_cluster.telemetry.tracing import NO_TRACE, Trace

MAX_BAGGAGE = 8192  # bytes; longer one stays behind
_MAX_TRACEPARENT = 256  # bytes


def lines_of(traces: Sequence[Trace]) -> bytes:
    """b"" when there is nothing to tell."""
    for traceparent, baggage in traces:
        if traceparent or baggage:
            return b"\n".join([_line(trace) for trace in traces])
    return b""


def read(line: bytes) -> Trace:
    """What became of one line; also of none, as former versions wrote."""
    if not line:
        return NO_TRACE
    traceparent, _, baggage = line.partition(b"\t")
    return traceparent, baggage


def _line(trace: Trace) -> bytes:
    traceparent, baggage = trace
    return _text(traceparent, _MAX_TRACEPARENT) + b"\t" + _text(baggage, MAX_BAGGAGE)


def _text(said: bytes, limit: int) -> bytes:
    """JSON text has neither tabs nor line feeds in it; what else a client may have sent is left out."""
    fits = said.startswith(b'"') and len(said) <= limit and b"\n" not in said and b"\t" not in said
    return said if fits else b""
