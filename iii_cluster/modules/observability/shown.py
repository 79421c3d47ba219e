"""Records as functions show them: without what only collectors want."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from iii_cluster.telemetry.records import Attributes, Event, HistogramPoint, Link, Metric, NumberPoint, Span

from .turns import Steps, portions

ENCODED = 32  # records between two yields

_encode = msgspec.json.Encoder().encode


class ShownSpan(Struct, omit_defaults=True, kw_only=True, gc=False):
    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    status: str
    status_description: str | None = None
    attributes: Attributes
    service_name: str
    events: list[Event]
    links: list[Link]
    instrumentation_scope_name: str | None = None
    instrumentation_scope_version: str | None = None
    flags: int | None = None
    trace_state: str | None = None
    pending: bool = False
    trace_tags: dict[str, str] | None = None


class Branch(ShownSpan, kw_only=True, gc=False):
    """A span and those below it. Its encoding ends with them."""

    children: list["Branch"]


_NO_CHILDREN: list[Branch] = []  # of all that have none, so that there are not as many lists as spans


class ShownMetric(Struct, omit_defaults=True, kw_only=True):
    name: str
    description: str
    unit: str
    metric_type: str
    data_points: list[NumberPoint | HistogramPoint]
    service_name: str
    timestamp_unix_nano: int
    instrumentation_scope_name: str | None = None
    instrumentation_scope_version: str | None = None


_T = TypeVar("_T")
_S = TypeVar("_S", bound=ShownSpan)


def shown_span(span: Span, tags: dict[str, str] | None = None) -> ShownSpan:
    shown = _copied(span, ShownSpan)
    shown.trace_tags = tags
    return shown


def branch(span: Span) -> Branch:
    """Without children yet; the first one comes with a new list."""
    return _copied(span, Branch, children=_NO_CHILDREN)


def _copied(span: Span, kind: type[_S], **more: Any) -> _S:
    return kind(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        start_time_unix_nano=span.start_time_unix_nano,
        end_time_unix_nano=span.end_time_unix_nano,
        status=span.status,
        status_description=span.status_description,
        attributes=span.attributes,
        service_name=span.service_name,
        events=span.events,
        links=span.links,
        instrumentation_scope_name=span.instrumentation_scope_name,
        instrumentation_scope_version=span.instrumentation_scope_version,
        flags=span.flags,
        trace_state=span.trace_state,
        pending=span.pending,
        **more,
    )


def shown_metric(metric: Metric) -> ShownMetric:
    return ShownMetric(
        name=metric.name,
        description=metric.description,
        unit=metric.unit,
        metric_type=metric.metric_type,
        data_points=metric.data_points,
        service_name=metric.service_name,
        timestamp_unix_nano=metric.timestamp_unix_nano,
        instrumentation_scope_name=metric.instrumentation_scope_name,
        instrumentation_scope_version=metric.instrumentation_scope_version,
    )


def encoded(items: Sequence[_T], shown: Callable[[_T], object] | None = None) -> Steps[Raw]:
    """A JSON array of what `shown` makes of the items. A few at a time: some are large."""
    parts: list[bytes] = []
    for portion in portions(items, ENCODED):
        parts.append(_encode(portion if shown is None else [*map(shown, portion)])[1:-1])
        yield
    return Raw(b"[" + b",".join(parts) + b"]")


def encoded_trees(roots: Sequence[Branch]) -> Steps[Raw]:
    """A JSON array of trees, some branches at a time: there may be one root, and all others below it."""
    done: list[bytes] = []
    parts: list[bytes] = [b"["]  # joined in turns, too: they are many
    left: list[Branch | bytes] = []  # what is still to be written, the last first
    _push(left, roots)
    count = 0
    while left:
        one = left.pop()
        if isinstance(one, bytes):
            parts.append(one)
            continue
        below, one.children = one.children, _NO_CHILDREN
        parts.append(_encode(one).removesuffix(b"]}"))
        one.children = below
        left.append(b"]}")
        _push(left, below)
        count += 1
        if count % ENCODED == 0:
            done.append(b"".join(parts))
            parts.clear()
            yield
    return Raw(b"".join((*done, *parts, b"]")))


def _push(left: list[Branch | bytes], branches: Sequence[Branch]) -> None:
    """With commas between them."""
    for at in range(len(branches) - 1, -1, -1):
        left.append(branches[at])
        if at:
            left.append(b",")
