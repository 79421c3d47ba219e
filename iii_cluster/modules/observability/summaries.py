"""Traces as a whole: how long all of their spans took, whether any failed, and which traces are asked for. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from iii_cluster.telemetry.records import Span

from .inputs import ListTraces, pairs
from .spans import DEFAULT_LIMIT, find_roots, is_internal
from .times import interval, nanoseconds
from .turns import Steps, page, portions, selected

MAX_SERVICES = 20  # named of one trace


class Summary(Struct):
    """`name` and `service_name` are those of its first span, as is `first_duration_ns`. `status` is error when any span
    failed, `status_description` that of the earliest of these. While a span goes on, `end_time_unix_nano` is 0."""

    trace_id: str
    name: str
    service_name: str
    status: str
    status_description: str | None
    start_time_unix_nano: int
    end_time_unix_nano: int
    duration_ns: int  # so far, while a span goes on
    first_duration_ns: int
    span_count: int
    error_count: int
    services: list[str]


class Summaries(NamedTuple):
    page: list[Summary]
    total: int


class _Trace:
    """As far as its spans were looked at."""

    __slots__ = (
        "end",
        "errors",
        "excluded",
        "failed",
        "first",
        "found",
        "pending",
        "rank",
        "services",
        "spans",
        "start",
    )

    def __init__(self, span: Span) -> None:
        self.first = span
        self.rank = (3, 0)
        self.start, self.end = span.start_time_unix_nano, 0
        self.pending = self.found = self.excluded = False
        self.spans = self.errors = 0
        self.failed: Span | None = None
        self.services: dict[str, None] = {}

    def add(self, span: Span, rank: int, now: int) -> None:
        start = span.start_time_unix_nano
        if (rank, start) < self.rank:
            self.first, self.rank = span, (rank, start)
        self.start = min(self.start, start)
        self.end = max(self.end, span.end_time_unix_nano or now)
        self.pending = self.pending or not span.end_time_unix_nano
        self.spans += 1
        if len(self.services) < MAX_SERVICES:
            self.services[span.service_name] = None
        if span.status == "error":
            self.errors += 1
            if self.failed is None or start < self.failed.start_time_unix_nano:
                self.failed = span

    @property
    def duration(self) -> int:
        return max(self.end - self.start, 0)

    @property
    def status(self) -> str:
        return "error" if self.errors else self.first.status


def summaries(spans: Sequence[Span], asked: ListTraces, now: int) -> Steps[Summaries]:
    """`spans` are all of the traces that matter. `now`: ns. Raises EngineError.

    A trace is found by the name, the service and the attributes of any one span, by the status and the duration of the
    whole. One whose first span is internal counts as such.
    """
    wanted = _filter(asked)
    found = yield from _grouped(spans, asked, now)
    chosen = yield from selected(list(found.values()), wanted)
    offset, limit = asked.offset or 0, DEFAULT_LIMIT if asked.limit is None else asked.limit
    descending = (asked.sort_order or "").lower() == "desc"
    shown = yield from page(chosen, _order(asked.sort_by), offset, limit, descending=descending)
    return Summaries([_summary(trace, now) for trace in shown], len(chosen))


def _grouped(spans: Sequence[Span], asked: ListTraces, now: int) -> Steps[dict[str, _Trace]]:
    is_root = yield from find_roots(spans)
    service, name = (asked.service_name or "").lower(), (asked.name or "").lower()
    required, excluded = pairs(asked.attributes), pairs(asked.exclude_attributes)
    found: dict[str, _Trace] = {}
    for portion in portions(spans):
        for span in portion:
            trace = found.get(span.trace_id) or found.setdefault(span.trace_id, _Trace(span))
            trace.add(span, 2 if not is_root(span) else 1 if span.parent_span_id else 0, now)
            if not trace.found and service in span.service_name.lower() and name in span.name.lower():
                trace.found = required.issubset(span.attributes)
            if excluded and not excluded.isdisjoint(span.attributes):
                trace.excluded = True
        yield
    return found


def _filter(asked: ListTraces) -> Callable[[_Trace], bool]:
    start, end = interval(asked.start_time, asked.end_time)
    shortest = nanoseconds(asked.min_duration_ms or 0)
    longest = None if asked.max_duration_ms is None else nanoseconds(asked.max_duration_ms)
    status = (asked.status or "").lower()

    def wanted(trace: _Trace) -> bool:
        if not trace.found or trace.excluded or trace.start > end or trace.end < start:
            return False
        if trace.duration < shortest or (longest is not None and trace.duration > longest):
            return False
        return status in trace.status.lower() and (bool(asked.include_internal) or not is_internal(trace.first))

    return wanted


def _order(by: str | None) -> Callable[[_Trace], Any]:
    match by:
        case "duration" | "duration_ms":
            return lambda trace: trace.duration
        case "service_name":
            return lambda trace: trace.first.service_name
        case "name":
            return lambda trace: trace.first.name
        case _:
            return lambda trace: trace.start


def _summary(trace: _Trace, now: int) -> Summary:
    first, failed = trace.first, trace.failed
    return Summary(
        first.trace_id,
        first.name,
        first.service_name,
        trace.status,
        first.status_description if failed is None else failed.status_description,
        trace.start,
        0 if trace.pending else trace.end,
        trace.duration,
        max((first.end_time_unix_nano or now) - first.start_time_unix_nano, 0),
        trace.spans,
        trace.errors,
        sorted(trace.services),
    )
