"""Choosing and adding up what workers measured. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from iii_cluster.telemetry.records import HistogramPoint, Metric, Span

from .inputs import ListMetrics
from .statistics import percentiles, performance
from .times import MILLISECOND, SECOND, interval, nanoseconds
from .turns import Steps, portions, selected


class Aggregated(Struct, omit_defaults=True):
    """Values of one metric in one interval. The least and the greatest, as they are."""

    name: str
    bucket_start_ns: int
    bucket_end_ns: int
    count: int
    sum: float
    min: float
    max: float
    avg: float
    percentiles: Mapping[str, float] | None = None


def values_of(metric: Metric) -> Iterator[float]:
    """One for each point: its value; of a histogram the sum of what it counted."""
    for point in metric.data_points:
        yield point.sum if isinstance(point, HistogramPoint) else point.value


def chosen(metrics: Sequence[Metric], asked: ListMetrics) -> Steps[list[Metric]]:
    """Raises EngineError."""
    start, end = interval(asked.start_time, asked.end_time)

    def wanted(metric: Metric) -> bool:
        return start <= metric.timestamp_unix_nano <= end and asked.metric_name in (None, metric.name)

    return (yield from selected(metrics, wanted))


def aggregated(metrics: Sequence[Metric], asked: ListMetrics) -> Steps[list[Aggregated]]:
    """Intervals begin at `start_time`; without both times and an interval there are none. Raises EngineError."""
    if asked.start_time is None or asked.end_time is None or not asked.aggregate_interval:
        return []
    start = nanoseconds(asked.start_time)
    width = nanoseconds(asked.aggregate_interval * SECOND // MILLISECOND)
    buckets: dict[tuple[str, int], list[float]] = {}
    for portion in portions(metrics):
        for metric in portion:
            number = (metric.timestamp_unix_nano - start) // width
            buckets.setdefault((metric.name, number), []).extend(values_of(metric))
        yield
    shown = []
    for (name, number), values in sorted(buckets.items()):
        if values:
            values.sort()
            total = sum(values)
            begin = start + number * width
            shown.append(
                Aggregated(
                    name,
                    begin,
                    begin + width,
                    len(values),
                    total,
                    values[0],
                    values[-1],
                    total / len(values),
                    percentiles(values),
                )
            )
            yield
    return shown


def span_performance(spans: Sequence[Span]) -> Steps[Mapping[str, float]]:
    """Of all that have ended."""
    durations: list[float] = []
    for portion in portions(spans):
        durations += _durations(portion)
        yield
    durations.sort()
    return performance(durations)


def _durations(spans: Iterable[Span]) -> Iterator[float]:
    for span in spans:
        if span.end_time_unix_nano:
            yield max(span.end_time_unix_nano - span.start_time_unix_nano, 0) / MILLISECOND
