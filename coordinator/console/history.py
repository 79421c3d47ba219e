"""The last quarter of an hour in numbers, out of what processes say of themselves every few seconds. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from iii_cluster.telemetry.metrics.durations import BUCKETS, added, quantile
from iii_cluster.telemetry.metrics.functions import FunctionNumbers
from iii_cluster.telemetry.metrics.gather import all_functions, functions_of
from iii_cluster.telemetry.metrics.snapshot import Snapshot

POINTS = 450
LATELY = 10.0  # s that rates are of
NOTHING = FunctionNumbers(buckets=[0] * BUCKETS)


class NodePoint(Struct):
    """One process at one time; rates since the time before."""

    per_second: float
    errors: float
    cpu: float  # cores
    rss: int
    lag_ms: float
    in_flight: int
    connections: int


class Point(Struct):
    """Calls of the whole cluster since the point before, and every process that answered."""

    time_ms: int
    seconds: float  # since the point before
    per_second: float | None  # None: nobody answered
    errors: float | None  # per second
    buckets: list[int]
    nodes: dict[str, NodePoint]

    def percentile(self, part: float) -> float | None:
        """Milliseconds; None without calls."""
        return _ms(self.buckets, part)


class _Before(Struct):
    """What a process had counted."""

    time_ms: int
    total: FunctionNumbers
    cpu_seconds: float


class History:
    """Filled with every round of answers, oldest points dropped."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=POINTS)
        self.snapshots: Mapping[str, Snapshot] = {}  # the latest round
        self.functions: Mapping[str, FunctionNumbers] = {}  # of it, all processes together
        self._before: dict[str, _Before] = {}
        self._counts: deque[tuple[int, dict[str, tuple[int, int]]]] = deque()  # calls and errors by function
        self._last_ms = 0

    def add(self, time_ms: int, snapshots: Mapping[str, Snapshot]) -> None:
        """What those that answered said, at about `time_ms`."""
        per_second = errors = 0.0
        buckets: list[int] = []
        nodes = {}
        for node, snapshot in snapshots.items():
            total = all_functions(snapshot.functions.values())
            before = self._before.get(node)
            self._before[node] = _Before(snapshot.time_ms, total, snapshot.cpu_seconds)
            if before is None:
                before = _Before(snapshot.started_ms, NOTHING, 0.0)
                if snapshot.started_ms < self._last_ms:  # nobody knows when its calls were made
                    before.total = total
            point = nodes[node] = _point(before, total, snapshot)
            per_second, errors = per_second + point.per_second, errors + point.errors
            more = [now - then for now, then in zip(total.buckets, before.total.buckets, strict=True)]
            buckets = added(buckets, more) if buckets else more
        if self._last_ms:
            seconds = max(time_ms - self._last_ms, 1) / 1000
            known = bool(snapshots)
            whole = Point(time_ms, seconds, per_second if known else None, errors if known else None, buckets, nodes)
            self.points.append(whole)
        self._last_ms = time_ms
        self.snapshots = snapshots
        self._count(time_ms, functions_of(snapshots.values()))

    def keep(self, nodes: Mapping[str, Any]) -> None:
        """Only these are members of the cluster."""
        self._before = {node: before for node, before in self._before.items() if node in nodes}

    def _count(self, time_ms: int, functions: Mapping[str, FunctionNumbers]) -> None:
        self.functions = functions
        self._counts.append((time_ms, {id: (one.count, one.errors) for id, one in functions.items()}))
        while len(self._counts) > 2 and time_ms - self._counts[1][0] >= LATELY * 1000:
            self._counts.popleft()

    # -- what is shown

    def series(self) -> dict[str, list[Any]]:
        points = self.points
        return {
            "t": [point.time_ms for point in points],
            "per_second": [_rounded(point.per_second) for point in points],
            "errors": [_rounded(point.errors) for point in points],
            "p50": [point.percentile(0.5) for point in points],
            "p95": [point.percentile(0.95) for point in points],
            "p99": [point.percentile(0.99) for point in points],
        }

    def node_series(self, node: str) -> dict[str, list[Any]] | None:
        """None for a node that is in none of the points."""
        found = [point.nodes.get(node) for point in self.points]
        if not any(found):
            return None
        return {
            "t": [point.time_ms for point in self.points],
            "per_second": [_rounded(one.per_second) if one else None for one in found],
            "errors": [_rounded(one.errors) if one else None for one in found],
            "cpu": [_rounded(one.cpu, 3) if one else None for one in found],
            "rss": [one.rss if one else None for one in found],
            "lag_ms": [_rounded(one.lag_ms) if one else None for one in found],
            "in_flight": [one.in_flight if one else None for one in found],
            "connections": [one.connections if one else None for one in found],
        }

    def latest(self, node: str) -> NodePoint | None:
        """None if the node was not in the latest round."""
        return self.points[-1].nodes.get(node) if self.points else None

    def lately(self) -> dict[str, float | None]:
        """Rates and percentiles of the last seconds."""
        seconds, calls, errors, buckets = 0.0, 0.0, 0.0, list[int]()
        for point in reversed(self.points):
            if seconds and seconds + point.seconds > LATELY + 1:
                break
            seconds += point.seconds
            calls += (point.per_second or 0.0) * point.seconds
            errors += (point.errors or 0.0) * point.seconds
            buckets = added(buckets, point.buckets) if buckets and point.buckets else buckets or point.buckets
        return {
            "per_second": round(calls / seconds, 2) if seconds else 0.0,
            "errors_per_second": round(errors / seconds, 2) if seconds else 0.0,
            "p50_ms": _ms(buckets, 0.5),
            "p95_ms": _ms(buckets, 0.95),
            "p99_ms": _ms(buckets, 0.99),
        }

    def numbers(self, function: str) -> dict[str, Any] | None:
        """Of one function, rates of the last seconds; None if it was never called. `function` as Snapshot names it."""
        known = self.functions.get(function)
        if known is None or not self._counts:
            return None
        then_ms, counts = self._counts[0]
        calls, errors = counts.get(function, (0, 0))
        seconds = max(self._counts[-1][0] - then_ms, 1) / 1000
        rates = len(self._counts) > 1
        return {
            "calls": known.count,
            "errors": known.errors,
            "deferred": known.deferred,
            "per_second": round(max(known.count - calls, 0) / seconds, 2) if rates else 0.0,
            "errors_per_second": round(max(known.errors - errors, 0) / seconds, 2) if rates else 0.0,
            "mean_ms": round(known.seconds / known.count * 1000, 3) if known.count else None,
            "p50_ms": _ms(known.buckets, 0.5),
            "p95_ms": _ms(known.buckets, 0.95),
            "p99_ms": _ms(known.buckets, 0.99),
        }


def _point(before: _Before, total: FunctionNumbers, snapshot: Snapshot) -> NodePoint:
    seconds = max(snapshot.time_ms - before.time_ms, 1) / 1000
    return NodePoint(
        (total.count - before.total.count) / seconds,
        (total.errors - before.total.errors) / seconds,
        (snapshot.cpu_seconds - before.cpu_seconds) / seconds,
        snapshot.rss_bytes,
        snapshot.loop_lag_ms,
        snapshot.in_flight,
        snapshot.connections,
    )


def _ms(buckets: list[int], part: float) -> float | None:
    return round(quantile(buckets, part) * 1000, 3) if any(buckets) else None


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
