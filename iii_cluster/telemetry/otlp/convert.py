"""Records as OpenTelemetry's SDK has them, for its exporters. Pure. Imported only where something is exported."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from iii_cluster.telemetry import records

SCOPE = "iii"  # of what this process does itself
LATEST = 2**63  # ns
MAX_RESOURCES = 256  # kept made

# Spans are kept with texts only. These are numbers by convention, and collectors expect them to be.
_INTEGERS = {
    "http.response.status_code",
    "http.request.body.size",
    "http.response.body.size",
    "server.port",
    "client.port",
    "attempt",
}
_KINDS = {1: SpanKind.INTERNAL, 2: SpanKind.SERVER, 3: SpanKind.CLIENT, 4: SpanKind.PRODUCER, 5: SpanKind.CONSUMER}
_STATUS = {"ok": StatusCode.OK, "error": StatusCode.ERROR}
_CUMULATIVE, _DELTA = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA


class KeptResource(Resource):
    """Its hash is taken for every span: it is computed once."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        super().__init__(dict(attributes))
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)


class Resources:
    """Made once for each process that tells something."""

    def __init__(self, own: Mapping[str, Any]) -> None:
        self.own = own
        self._made: dict[tuple[Any, ...], KeptResource] = {}

    def of(self, service: str, attributes: Mapping[str, Any]) -> KeptResource:
        """`attributes` are those of a worker; none: it is this process."""
        attributes = {**(attributes or self.own), "service.name": service}
        key = tuple((name, str(value)) for name, value in attributes.items())
        if key not in self._made:
            if len(self._made) >= MAX_RESOURCES:
                self._made.clear()
            self._made[key] = KeptResource({name: _fit(value) for name, value in attributes.items()})
        return self._made[key]


def readable_span(span: records.Span, resources: Resources) -> ReadableSpan:
    """Raises ValueError for ids or times that are none."""
    if not (0 <= span.start_time_unix_nano < LATEST and 0 <= span.end_time_unix_nano < LATEST):
        raise ValueError("no time")
    context = _context(span.trace_id, span.span_id, span.trace_state or "")
    parent = _context(span.trace_id, span.parent_span_id, "") if span.parent_span_id else None
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=parent,
        resource=resources.of(span.service_name, span.resource),
        attributes=_attributes(span.attributes),
        events=[Event(event.name, _attributes(event.attributes), event.timestamp_unix_nano) for event in span.events],
        links=[
            Link(_context(link.trace_id, link.span_id, link.trace_state), _attributes(link.attributes))
            for link in span.links
        ],
        kind=_KINDS.get(span.kind, SpanKind.INTERNAL),
        status=_status(span),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=scope_of(
            span.instrumentation_scope_name or ("" if span.resource else SCOPE), span.instrumentation_scope_version
        ),
    )


def metrics_data(metrics: Iterable[records.Metric], resources: Resources) -> MetricsData:
    """By resource and scope, as exporters want it."""
    found = [(resources.of(metric.service_name, metric.resource), metric) for metric in metrics]
    by_resource: dict[KeptResource, list[records.Metric]] = {}
    for resource, metric in found:
        by_resource.setdefault(resource, []).append(metric)
    return MetricsData(
        [ResourceMetrics(resource, _scopes(own), resource.schema_url) for resource, own in by_resource.items()]
    )


def _scopes(metrics: list[records.Metric]) -> list[ScopeMetrics]:
    def scope(metric: records.Metric) -> tuple[str, str]:
        return metric.instrumentation_scope_name or "", metric.instrumentation_scope_version or ""

    return [
        ScopeMetrics(scope_of(*key), [_metric(metric) for metric in group], "")
        for key, group in groupby(sorted(metrics, key=scope), scope)
    ]


def _metric(metric: records.Metric) -> Metric:
    start, points, since = metric.started_unix_nano, metric.data_points, _DELTA if metric.delta else _CUMULATIVE
    histograms = [_histogram(point, start) for point in points if isinstance(point, records.HistogramPoint)]
    numbers = [_number(point, start) for point in points if isinstance(point, records.NumberPoint)]
    data: Gauge | Histogram | Sum
    if metric.metric_type == "histogram":
        data = Histogram(histograms, since)
    elif metric.metric_type == "gauge":
        data = Gauge(numbers)
    else:
        data = Sum(numbers, since, is_monotonic=metric.metric_type == "counter")
    return Metric(metric.name, metric.description, metric.unit, data)


def _number(point: records.NumberPoint, start: int) -> NumberDataPoint:
    return NumberDataPoint(_attributes(point.attributes), start, point.timestamp_unix_nano, point.value)


def _histogram(point: records.HistogramPoint, start: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        _attributes(point.attributes),
        start,
        point.timestamp_unix_nano,
        point.count,
        point.sum,
        point.bucket_counts,
        point.explicit_bounds,
        point.min,  # type: ignore[arg-type]
        point.max,  # type: ignore[arg-type]
    )


def _context(trace_id: str, span_id: str, state: str) -> SpanContext:
    if len(trace_id) != 32 or len(span_id) != 16:
        raise ValueError("no id")
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def _status(span: records.Span) -> Status:
    code = _STATUS.get(span.status, StatusCode.UNSET)
    return Status(code, span.status_description if code is StatusCode.ERROR else None)


def scope_of(name: str | None, version: str | None) -> InstrumentationScope:
    return InstrumentationScope(name or "", version or "")


def _attributes(pairs: records.Attributes) -> dict[str, Any]:
    return {key: int(value) if key in _INTEGERS and value.isdecimal() else value for key, value in pairs}


def _fit(value: Any) -> Any:
    """What the SDK takes as an attribute of a resource; anything else as text."""
    return value if isinstance(value, str | bool | int | float) else str(value)


def told_by(resource: Resource, data: MetricsData) -> list[ResourceMetrics]:
    """`data`, under this resource."""
    return [ResourceMetrics(resource, found.scope_metrics, found.schema_url) for found in data.resource_metrics]
