"""Summaries of metrics over time, in three levels: a minute for an hour, five for six hours, an hour for a week. Pure.

A summary of numbers tells of all values seen. Histograms as workers send them have counted since the worker began, so
of these a summary has the last word of each series.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from iii_cluster.telemetry.records import HistogramPoint, Metric

from .times import SECOND
from .turns import Steps, portions

MAX_SERIES = 500  # name and service, of one bucket; more are left out


class Level(NamedTuple):
    """Seconds."""

    width: int
    kept: int


LEVELS = (Level(60, 3600), Level(300, 6 * 3600), Level(3600, 7 * 24 * 3600))


class Rollup(Struct):
    name: str
    service_name: str
    bucket_start_ns: int
    bucket_end_ns: int
    count: int
    sum: float
    min: float
    max: float
    avg: float


class HistogramRollup(Struct):
    name: str
    service_name: str
    bucket_start_ns: int
    bucket_end_ns: int
    count: int
    sum: float
    min: float | None
    max: float | None
    bucket_counts: list[int]
    explicit_bounds: list[float]


class Bucket(Struct):
    """All of one interval."""

    rollups: list[Rollup] = []
    histogram_rollups: list[HistogramRollup] = []


Span = tuple[int, int]  # first and past-the-last nanosecond
Series = tuple[str, str]  # name and service


def bucket_of(time_ns: int, level: int) -> int:
    """The second in which the bucket of a moment begins."""
    width = LEVELS[level].width
    return time_ns // SECOND // width * width


def first_kept(now_ns: int, level: int) -> int:
    """The oldest bucket that is not forgotten."""
    return bucket_of(now_ns - LEVELS[level].kept * SECOND, level) + LEVELS[level].width


def rolled(metrics: Sequence[Metric]) -> Steps[dict[int, Bucket]]:
    """Of level 0, by the second they begin; only those that something was received in."""
    by_bucket: dict[int, dict[Series, list[Metric]]] = {}
    for portion in portions(metrics):
        for metric in portion:
            series = by_bucket.setdefault(bucket_of(metric.timestamp_unix_nano, 0), {})
            key = metric.name, metric.service_name
            if key in series or len(series) < MAX_SERIES:
                series.setdefault(key, []).append(metric)
        yield
    buckets: dict[int, Bucket] = {}
    for start, series in by_bucket.items():
        span = start * SECOND, (start + LEVELS[0].width) * SECOND
        bucket = buckets[start] = Bucket([], [])
        for count, (key, seen) in enumerate(sorted(series.items())):
            _roll(bucket, key, span, seen)
            if count % 32 == 0:
                yield
    return buckets


def sampled(values: Mapping[str, float], service: str, start: int) -> Bucket:
    """Of level 0: numbers that were looked at once."""
    span = start * SECOND, (start + LEVELS[0].width) * SECOND
    return Bucket([Rollup(name, service, *span, 1, *(value,) * 4) for name, value in values.items()], [])


def merged(buckets: Iterable[Bucket], start: int, level: int) -> Bucket:
    """One of a higher level out of those of a lower one, in their order."""
    span = start * SECOND, (start + LEVELS[level].width) * SECOND
    numbers: dict[Series, Rollup] = {}
    histograms: dict[Series, HistogramRollup] = {}
    for bucket in buckets:
        for each in bucket.rollups:
            key = each.name, each.service_name
            known = numbers.get(key)
            if known is not None or len(numbers) < MAX_SERIES:
                numbers[key] = _added(known, each, span)
        for last in bucket.histogram_rollups:
            key = last.name, last.service_name
            if key in histograms or len(histograms) < MAX_SERIES:
                histograms[key] = _later(histograms.get(key), last, span)
    return Bucket(list(numbers.values()), list(histograms.values()))


def _roll(bucket: Bucket, key: Series, span: Span, metrics: Iterable[Metric]) -> None:
    values: list[float] = []
    histograms: dict[tuple[tuple[str, str], ...], HistogramPoint] = {}  # the last, by attributes
    for metric in metrics:
        for point in metric.data_points:
            if isinstance(point, HistogramPoint):
                histograms[tuple(point.attributes)] = point
            else:
                values.append(point.value)
    if values:
        total = sum(values)
        count = len(values)
        bucket.rollups.append(Rollup(*key, *span, count, total, min(values), max(values), total / count))
    if histograms:
        bucket.histogram_rollups.append(_sum(key, span, list(histograms.values())))


def _sum(key: Series, span: Span, points: Sequence[HistogramPoint]) -> HistogramRollup:
    """Series whose bounds differ from those of the first cannot be added to it, and are left out."""
    bounds = points[0].explicit_bounds
    alike = [point for point in points if point.explicit_bounds == bounds]
    return HistogramRollup(
        *key,
        *span,
        sum(point.count for point in alike),
        sum(point.sum for point in alike),
        min((point.min for point in alike if point.min is not None), default=None),
        max((point.max for point in alike if point.max is not None), default=None),
        [sum(counts) for counts in zip(*(point.bucket_counts for point in alike), strict=False)],
        bounds,
    )


def _added(known: Rollup | None, more: Rollup, span: Span) -> Rollup:
    if known is None:
        known = more
        count, total = more.count, more.sum
    else:
        count, total = known.count + more.count, known.sum + more.sum
    least, most = min(known.min, more.min), max(known.max, more.max)
    return Rollup(more.name, more.service_name, *span, count, total, least, most, total / count)


def _later(known: HistogramRollup | None, last: HistogramRollup, span: Span) -> HistogramRollup:
    known = known or last
    least = min((each.min for each in (known, last) if each.min is not None), default=None)
    most = max((each.max for each in (known, last) if each.max is not None), default=None)
    return HistogramRollup(
        *(last.name, last.service_name, *span, last.count, last.sum, least, most),
        last.bucket_counts,
        last.explicit_bounds,
    )
