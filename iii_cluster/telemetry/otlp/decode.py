"""Telemetry frames of workers, read record by record: what is bad is left out and counted, the rest is taken. Pure.

A frame is four letters and OTLP/JSON. What a record holds is bounded, what names a secret is redacted.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from ..records import Event, HistogramPoint, Kind, Link, Log, Metric, NumberPoint, Span
from ..texts import cut
from . import not_numbers, wire
from .values import (
    MAX_NAME,
    MAX_TEXT,
    flat,
    integer,
    name_of,
    number,
    shown,
    span_id_of,
    text_of,
    trace_id_of,
    typed,
    without_colours,
)

SPANS, METRICS, LOGS = b"OTLP", b"MTRC", b"LOGS"
MAX_RECORDS = 10_000  # of one frame
MAX_EVENTS = 128  # of one span
MAX_LINKS = 128  # likewise
MAX_POINTS = 1000  # of one metric
MAX_BUCKETS = 256  # of one histogram
UNKNOWN_SERVICE = "unknown"

T = TypeVar("T")

_STATUS = ("unset", "ok", "error")
_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")  # four numbers each, from 1 on
_KINDS = {0: Kind.INTERNAL} | {int(kind): kind for kind in Kind}
# What msgspec, or the depth of what it read, may raise.
BAD = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError)

_spans_frame = msgspec.json.Decoder(wire.SpansFrame).decode
_logs_frame = msgspec.json.Decoder(wire.LogsFrame).decode
_metrics_frame = msgspec.json.Decoder(wire.MetricsFrame).decode
_span = msgspec.json.Decoder(wire.WireSpan).decode
_log = msgspec.json.Decoder(wire.WireLog).decode
_metric = msgspec.json.Decoder(wire.WireMetric).decode


class BadFrame(Exception):
    """Not a frame at all."""


class Source:
    """Whom records of one part of a frame are from."""

    __slots__ = ("resource", "scope_name", "scope_version", "service")

    def __init__(self, resource: dict[str, Any], scope: wire.Scope | None) -> None:
        service = resource.get("service.name")
        self.resource = resource
        self.service = cut(service, MAX_NAME) if isinstance(service, str) and service else UNKNOWN_SERVICE
        self.scope_name = None if scope is None else name_of(scope.name)
        self.scope_version = None if scope is None else name_of(scope.version)


# A record and whom it is from; None: what it was could not be read, or there were too many.
Record = tuple[Raw, Source]


def records(frame: bytes) -> Iterator[Record]:
    """Of any of the three kinds, without those beyond `MAX_RECORDS`. Raises BadFrame, before the first one."""
    kind, body = frame[:4], memoryview(frame)[4:]
    parts: list[tuple[wire.Resource | None, list[tuple[wire.Scope | None, list[Raw]]]]]
    try:
        if kind == SPANS:
            parts = [
                (one.resource, [(each.scope, each.spans or []) for each in one.scope_spans or ()])
                for one in _whole(_spans_frame, body).resource_spans or ()
            ]
        elif kind == LOGS:
            parts = [
                (one.resource, [(each.scope, each.log_records or []) for each in one.scope_logs or ()])
                for one in _whole(_logs_frame, body).resource_logs or ()
            ]
        else:
            parts = [
                (one.resource, [(each.scope, each.metrics or []) for each in one.scope_metrics or ()])
                for one in _whole(_metrics_frame, body).resource_metrics or ()
            ]
        # Also those of resources may be too deep.
        sources = [
            (Source(typed(resource.attributes if resource is not None else None), scope), said)
            for resource, scopes in parts[:MAX_RECORDS]
            for scope, said in scopes[:MAX_RECORDS]
        ]
    except BAD as error:
        raise BadFrame(str(error)[:200]) from None
    return _records(sources)


def _whole(decode: Callable[[bytes | memoryview], T], body: memoryview) -> T:
    """A frame; what Python writes for numbers that are none is no number in it, either."""
    try:
        return decode(body)
    except msgspec.DecodeError:
        repaired = not_numbers.without(body)
        if repaired is None:
            raise
        return decode(repaired)


def _records(sources: list[tuple[Source, list[Raw]]]) -> Iterator[Record]:
    left = MAX_RECORDS
    for source, said in sources:
        for record in said[:left]:
            yield record, source
        left = max(0, left - len(said))


def span_of(record: Raw, source: Source, now: int) -> Span | None:
    """None: it cannot be read. `now`: ns since the epoch."""
    try:
        said = _span(record)
        trace_id, span_id = trace_id_of(said.trace_id), span_id_of(said.span_id)
        if trace_id is None or span_id is None:
            return None
        end = integer(said.end_time_unix_nano)
        start = integer(said.start_time_unix_nano) or end or now
        status = said.status
        span = Span(
            trace_id,
            span_id,
            span_id_of(said.parent_span_id),
            shown(said.name or "", MAX_NAME),
            start,
            max(start, end) if end else 0,
            _STATUS[integer(status.code, 0, 2)] if status is not None else "unset",
            flat(said.attributes),
            source.service,
            events=[_event(each) for each in (said.events or ())[:MAX_EVENTS]],
            links=[link for each in (said.links or ())[:MAX_LINKS] if (link := _link(each)) is not None],
            instrumentation_scope_name=source.scope_name,
            instrumentation_scope_version=source.scope_version,
        )
    except BAD:
        return None
    if status is not None and status.message:
        span.status_description = shown(status.message, MAX_TEXT)
    if said.flags is not None:
        span.flags = integer(said.flags, 0, 2**32 - 1)
    if said.trace_state:
        span.trace_state = name_of(said.trace_state)
    span.pending = not end
    span.kind = _KINDS.get(integer(said.kind), Kind.INTERNAL)
    span.resource = source.resource
    return span


def _event(said: wire.WireEvent) -> Event:
    return Event(name_of(said.name), integer(said.time_unix_nano), flat(said.attributes))


def _link(said: wire.WireLink) -> Link | None:
    trace_id, span_id = trace_id_of(said.trace_id), span_id_of(said.span_id)
    if trace_id is None or span_id is None:
        return None
    return Link(trace_id, span_id, name_of(said.trace_state), flat(said.attributes))


def log_of(record: Raw, source: Source, now: int) -> Log | None:
    """None: it cannot be read. `now`: ns since the epoch."""
    try:
        said = _log(record)
        severity = integer(said.severity_number, 0, 24)
        return Log(
            integer(said.time_unix_nano),
            integer(said.observed_time_unix_nano) or now,
            severity or 1,
            name_of(said.severity_text) or (_SEVERITIES[(severity - 1) // 4] if severity else ""),
            without_colours(text_of(said.body)),
            typed(said.attributes),
            trace_id_of(said.trace_id),
            span_id_of(said.span_id),
            source.resource,
            source.service,
            source.scope_name,
            source.scope_version,
        )
    except BAD:
        return None


def metric_of(record: Raw, source: Source, now: int) -> Metric | None:
    """None: it cannot be read, or is of a kind that is not kept. `now`: ns since the epoch."""
    try:
        said = _metric(record)
        data = said.gauge or said.sum or said.histogram
        if data is None:
            return None
        kind = "gauge" if said.gauge else "histogram" if said.histogram else "counter" if data.is_monotonic else ""
        points = (data.data_points or [])[:MAX_POINTS]
        read = _histogram_point if kind == "histogram" else _number_point
        metric = Metric(
            name_of(said.name),
            name_of(said.description),
            name_of(said.unit),
            kind or "updowncounter",
            [point for each in points if (point := read(each, now)) is not None],
            source.service,
            now,
            source.scope_name,
            source.scope_version,
        )
        metric.resource = source.resource
        metric.delta = integer(data.aggregation_temporality) == 1
        metric.started_unix_nano = integer(points[0].start_time_unix_nano) if points else 0
        return metric
    except BAD:
        return None


def _number_point(said: wire.WirePoint, now: int) -> NumberPoint | None:
    value = number(said.as_double if said.as_double is not None else said.as_int)
    return None if value is None else NumberPoint(value, flat(said.attributes), integer(said.time_unix_nano) or now)


def _histogram_point(said: wire.WirePoint, now: int) -> HistogramPoint | None:
    bounds = [number(bound) for bound in (said.explicit_bounds or ())[: MAX_BUCKETS - 1]]
    counts = [integer(count) for count in (said.bucket_counts or ())[:MAX_BUCKETS]]
    finite = [bound for bound in bounds if bound is not None]
    if len(finite) < len(bounds) or (counts and len(counts) != len(bounds) + 1):
        return None
    at = integer(said.time_unix_nano) or now
    least, most = number(said.min), number(said.max)
    return HistogramPoint(
        integer(said.count), number(said.sum) or 0.0, counts, finite, least, most, flat(said.attributes), at
    )
