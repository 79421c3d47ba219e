"""Spans that tests look at, and contexts they begin with."""

from collections.abc import Iterable

from iii_cluster.telemetry.records import Span
from iii_cluster.telemetry.spool import Spool
from iii_cluster.telemetry.tracing import Trace

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
SAMPLED: Trace = (f'"{TRACEPARENT}"'.encode(), b'"user=ana,iii.function.id=before"')
UNSAMPLED: Trace = (f'"00-{TRACE_ID}-{SPAN_ID}-00"'.encode(), b'"user=ana,iii.function.id=before"')


class Spans:
    """What was recorded so far, in the order it ended."""

    def __init__(self, *spools: Spool) -> None:
        self._spools = spools
        self._seen: list[Span] = []

    def all(self) -> list[Span]:
        for spool in self._spools:
            self._seen += spool.take().spans
        return self._seen

    def names(self) -> list[str]:
        return [span.name for span in self.all()]

    def named(self, name: str) -> Span:
        """The only one of that name."""
        (span,) = [span for span in self.all() if span.name == name]
        return span

    def under(self, parent: Span | str) -> list[str]:
        """Names of the spans right below one (or below the span id), sorted."""
        id = parent if isinstance(parent, str) else parent.span_id
        return sorted(span.name for span in self.all() if span.parent_span_id == id)


def said(span: Span) -> dict[str, str]:
    """Its attributes."""
    return dict(span.attributes)


def context_of(span: Span) -> bytes:
    """The traceparent of what it caused, as on the wire."""
    return f'"00-{span.trace_id}-{span.span_id}-01"'.encode()


def traces(spans: Iterable[Span]) -> set[str]:
    return {span.trace_id for span in spans}
