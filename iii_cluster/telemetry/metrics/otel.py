"""A process's metrics as collectors are told of them. Import it where they are sent: OpenTelemetry takes its time."""

from collections.abc import Iterable

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
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from .durations import BOUNDS
from .families import FAMILIES, Family, Kind, Point
from .snapshot import Snapshot

SCOPE = "iii"
MILLISECOND = 1_000_000  # ns

# What the semantic conventions call it.
_ATTRIBUTES = {"method": "http.request.method", "route": "http.route"}


def otel_metrics(snapshot: Snapshot) -> MetricsData:
    """Without a resource: who sends it knows whose it is."""
    began, now = snapshot.started_ms * MILLISECOND, snapshot.time_ms * MILLISECOND
    metrics = [
        Metric(family.otel, family.help, family.unit, data)
        for family in FAMILIES
        if family.otel and (data := _data(family, list(family.read(snapshot)), began, now)) is not None
    ]
    scope = InstrumentationScope(SCOPE, snapshot.version)
    return MetricsData([ResourceMetrics(Resource.get_empty(), [ScopeMetrics(scope, metrics, "")], "")])


def _data(family: Family, points: Iterable[Point], began: int, now: int) -> Sum | Gauge | Histogram | None:
    """None when there is nothing to tell."""
    if not points:
        return None
    if family.kind is Kind.HISTOGRAM:
        return Histogram([_histogram(family, point, began, now) for point in points], AggregationTemporality.CUMULATIVE)
    numbers = [NumberDataPoint(_attributes(family, point), began, now, float(point.value)) for point in points]
    if family.kind is Kind.COUNTER:
        return Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Gauge(numbers)


def _histogram(family: Family, point: Point, began: int, now: int) -> HistogramDataPoint:
    buckets = point.buckets or []
    return HistogramDataPoint(
        _attributes(family, point),
        began,
        now,
        sum(buckets),
        point.value,
        buckets,
        BOUNDS,
        None,  # type: ignore[arg-type]  # the shortest and the longest are not kept
        None,  # type: ignore[arg-type]
    )


def _attributes(family: Family, point: Point) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {}
    for label, value in zip(family.labels, point.labels, strict=True):
        if "method" in family.labels and label == "status":
            attributes["http.response.status_code"] = int(value)
        elif value or label not in _ATTRIBUTES:  # a request without a route has no such attribute
            attributes[_ATTRIBUTES.get(label, label)] = value
    return attributes
