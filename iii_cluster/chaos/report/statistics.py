"""Numbers of the load: percentiles, a row per kind of call, and throughput, errors and latency over time."""

import math
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence

from msgspec import Struct

from iii_cluster.chaos.history import OK, OPEN, Call

BUCKET = 0.25  # s


class LoadRow(Struct, kw_only=True):
    """All calls of a kind; latencies, in seconds, are those of calls that succeeded.

    `expected` failed as they had to, `errors` are the others by code: a fault has to explain them.
    """

    kind: str
    calls: int
    ok: int
    expected: int
    errors: dict[str, int]
    p50: float | None
    p99: float | None
    max: float | None


class Bucket(Struct, kw_only=True):
    """What ended in one stretch of time, without failures that are expected. `p99` is None where nothing succeeded."""

    at: float
    ok: int = 0
    failed: int = 0
    p99: float | None = None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` (0 to 1) of them do not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def latency(call: Call) -> float:
    """What the call took beyond the time its owner was asked to take."""
    return max(0.0, call.ended - call.began - call.wait)


def load_rows(calls: Iterable[Call], expected: Container[int] = ()) -> list[LoadRow]:
    """A row per kind in alphabetical order, and one for all; none without calls. `expected` are numbers of calls."""
    by_kind: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_kind[call.kind].append(call)
    rows = [_row(kind, by_kind[kind], expected) for kind in sorted(by_kind)]
    if not rows:
        return []
    return [*rows, _row("all", [call for members in by_kind.values() for call in members], expected)]


def _row(kind: str, calls: Sequence[Call], expected: Container[int]) -> LoadRow:
    times = [latency(call) for call in calls if call.outcome == OK]
    failed = [call for call in calls if call.outcome != OK]
    errors = Counter(call.outcome or "unfinished" for call in failed if call.n not in expected)
    return LoadRow(
        kind=kind,
        calls=len(calls),
        ok=len(times),
        expected=sum(call.n in expected for call in failed),
        errors=dict(errors.most_common()),
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        max=max(times, default=None),
    )


def buckets(calls: Iterable[Call], duration: float, expected: Container[int] = ()) -> list[Bucket]:
    """Stretches of BUCKET seconds from the start to `duration`, by when calls ended."""
    row = [Bucket(at=index * BUCKET) for index in range(math.ceil(duration / BUCKET))]
    times: dict[int, list[float]] = defaultdict(list)
    for call in calls:
        index = int(call.ended / BUCKET)
        if call.ended == OPEN or not 0 <= index < len(row):
            continue
        if call.outcome == OK:
            row[index].ok += 1
            times[index].append(latency(call))
        elif call.n not in expected:
            row[index].failed += 1
    for index, values in times.items():
        row[index].p99 = percentile(values, 0.99)
    return row
