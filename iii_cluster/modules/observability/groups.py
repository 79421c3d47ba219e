"""Spans by the value of one of their attributes: sessions, messages, customers. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from iii_cluster.telemetry.records import Span

from .inputs import GroupTraces
from .spans import is_internal
from .times import MILLISECOND, nanoseconds
from .turns import Steps, portions

DEFAULT_LIMIT = 100  # groups


class Group(Struct):
    """Spans with one value. `duration_ms`: from the first start to the last end."""

    value: str
    label: str | None
    trace_ids: list[str]
    span_count: int
    first_seen_ms: int
    last_seen_ms: int  # the start of the latest
    duration_ms: float
    error_count: int


class _Growing:
    __slots__ = ("count", "end", "errors", "first", "label", "labelled", "last", "traces")

    def __init__(self, start: int) -> None:
        self.traces: dict[str, None] = {}
        self.count = self.errors = 0
        self.first = self.last = self.end = start
        self.label: str | None = None
        self.labelled = -1  # start of the span that gave the label

    def add(self, span: Span, label: str | None, now: int) -> None:
        start = span.start_time_unix_nano
        self.traces[span.trace_id] = None
        self.count += 1
        self.errors += span.status == "error"
        self.first = min(self.first, start)
        self.last = max(self.last, start)
        self.end = max(self.end, span.end_time_unix_nano or now)
        if label is not None and start >= self.labelled:
            self.label, self.labelled = label, start


def grouped(spans: Sequence[Span], asked: GroupTraces, now: int) -> Steps[list[Group]]:
    """The newest first. `now`: ns. Raises EngineError."""
    since = nanoseconds(asked.since_ms or 0)
    found: dict[str, _Growing] = {}
    for portion in portions(spans):
        for span in portion:
            if (span.end_time_unix_nano or now) < since or (not asked.include_internal and is_internal(span)):
                continue
            own = dict(span.attributes)
            value = own.get(asked.attribute)
            if value is None:
                continue
            group = found.get(value) or found.setdefault(value, _Growing(span.start_time_unix_nano))
            group.add(span, own.get(asked.label_attribute or ""), now)
        yield
    newest = sorted(found.items(), key=lambda item: item[1].last, reverse=True)
    return [_shown(*item) for item in newest[: DEFAULT_LIMIT if asked.limit is None else asked.limit]]


def _shown(value: str, group: _Growing) -> Group:
    return Group(
        value,
        group.label,
        list(group.traces),
        group.count,
        group.first // MILLISECOND,
        group.last // MILLISECOND,
        (group.end - group.first) / MILLISECOND,
        group.errors,
    )
