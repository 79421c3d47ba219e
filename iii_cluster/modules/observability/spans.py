"""Choosing spans: filters, roots, order, paging, and what is said of a trace as a whole. Pure."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from iii_cluster.telemetry.records import Span

from .inputs import ListTraces, pairs
from .times import interval, nanoseconds
from .turns import Steps, page, portions, selected

DEFAULT_LIMIT = 100  # spans

_TAG = "iii.tag."
_TAGS = frozenset({"iii.session.id", "iii.session.name", "iii.message.id"})

Wanted = Callable[[Span], bool]
Tags = dict[str, str]


class Listed(NamedTuple):
    page: list[Span]
    total: int
    roots: Collection[tuple[str, str]]  # trace and span ids of those on the page that begin what is known of a trace
    tags: dict[str, Tags]  # by trace id


def is_internal(span: Span) -> bool:
    """Of the engine, not of what its users do."""
    for key, value in span.attributes:
        if key == "iii.function.kind":
            if value == "internal":
                return True
        elif key == "function_id" and value.startswith("engine::"):
            return True
    return False


def duration(span: Span, now: int) -> int:
    """Nanoseconds; of one that goes on, so far."""
    return max((span.end_time_unix_nano or now) - span.start_time_unix_nano, 0)


def listed(spans: Sequence[Span], asked: ListTraces, now: int) -> Steps[Listed]:
    """`spans` are all of the traces that matter. `now`: ns. Raises EngineError."""
    wanted = _filter(asked, now)
    every = bool(asked.search_all_spans)
    is_root = yield from find_roots(spans)
    if not every:
        spans = yield from selected(spans, is_root)
    chosen = yield from selected(spans, wanted)
    offset, limit = asked.offset or 0, DEFAULT_LIMIT if asked.limit is None else asked.limit
    key = _order(asked.sort_by, now)
    descending = (asked.sort_order or "").lower() == "desc"
    shown = yield from page(chosen, key, offset, limit, descending=descending)
    roots = {(span.trace_id, span.span_id) for span in shown if not every or is_root(span)}
    return Listed(shown, len(chosen), roots, {})


def tags_of(spans: Sequence[Span], traces: Collection[str]) -> Steps[dict[str, Tags]]:
    """What the spans of these traces say of them; the latest span is right."""
    found: dict[str, dict[str, tuple[int, str]]] = {}
    for portion in portions(spans):
        for span in portion:
            if span.trace_id not in traces:
                continue
            for key, value in span.attributes:
                if key.startswith(_TAG) or key in _TAGS:
                    tags = found.setdefault(span.trace_id, {})
                    if key not in tags or tags[key][0] <= span.start_time_unix_nano:
                        tags[key] = span.start_time_unix_nano, value
        yield
    return {trace: {key: value for key, (_, value) in sorted(tags.items())} for trace, tags in found.items()}


def find_roots(spans: Sequence[Span]) -> Steps[Wanted]:
    """Those without a parent, or whose parent nobody told of."""
    known: set[tuple[str, str]] = set()
    for portion in portions(spans):
        known.update((span.trace_id, span.span_id) for span in portion)
        yield

    def is_root(span: Span) -> bool:
        parent = span.parent_span_id
        return parent is None or parent == span.span_id or (span.trace_id, parent) not in known

    return is_root


def _filter(asked: ListTraces, now: int) -> Wanted:
    start, end = interval(asked.start_time, asked.end_time)
    shortest = nanoseconds(asked.min_duration_ms or 0)
    longest = None if asked.max_duration_ms is None else nanoseconds(asked.max_duration_ms)
    service, name, status = (_lower(text) for text in (asked.service_name, asked.name, asked.status))
    required, excluded = pairs(asked.attributes), pairs(asked.exclude_attributes)
    traces = None if asked.traces is None else frozenset(asked.traces)

    def wanted(span: Span) -> bool:
        if traces is not None and span.trace_id not in traces:
            return False
        if span.start_time_unix_nano > end or (span.end_time_unix_nano or now) < start:
            return False
        if shortest or longest is not None:
            took = duration(span, now)
            if took < shortest or (longest is not None and took > longest):
                return False
        if service not in span.service_name.lower() or name not in span.name.lower():
            return False
        if status not in span.status.lower() or (not asked.include_internal and is_internal(span)):
            return False
        if not (required or excluded):
            return True
        own = set(span.attributes)
        return required <= own and not (excluded & own)

    return wanted


def _lower(text: str | None) -> str:
    return (text or "").lower()


def _order(by: str | None, now: int) -> Callable[[Span], Any]:
    match by:
        case "duration" | "duration_ms":
            return lambda span: duration(span, now)
        case "service_name":
            return lambda span: span.service_name
        case "name":
            return lambda span: span.name
        case _:
            return lambda span: span.start_time_unix_nano
