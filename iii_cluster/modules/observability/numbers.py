"""What all processes of the cluster counted, taken together. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from iii_cluster.telemetry.metrics.durations import quantile
from iii_cluster.telemetry.metrics.functions import FunctionNumbers
from iii_cluster.telemetry.metrics.gather import all_functions, functions_of
from iii_cluster.telemetry.metrics.snapshot import Snapshot

MILLISECONDS = 1000  # per second


class Numbers(Struct):
    """Since the processes began; a process that is gone takes its share with it."""

    functions: dict[str, FunctionNumbers]
    all: FunctionNumbers
    spawns: int
    deaths: int
    active: int

    @property
    def invocations(self) -> dict[str, int]:
        """What waits in a queue is deferred, and counted once more when it has run."""
        numbers = self.all
        return {
            "total": numbers.count + numbers.deferred,
            "success": numbers.count - numbers.errors,
            "error": numbers.errors,
            "deferred": numbers.deferred,
        }

    @property
    def workers(self) -> dict[str, int]:
        return {"spawns": self.spawns, "deaths": self.deaths, "active": self.active}

    def by_function(self) -> dict[str, int]:
        return {id: own.count + own.deferred for id, own in sorted(self.functions.items())}

    def values(self) -> dict[str, float]:
        """By the names that alerts and summaries know them by."""
        groups: Mapping[str, Mapping[str, int]] = {"invocations": self.invocations, "workers": self.workers}
        return {f"iii.{group}.{name}": float(n) for group, own in groups.items() for name, n in own.items()}

    def performance(self) -> dict[str, Any]:
        """Estimated from how many calls took about how long."""
        own = self.all
        buckets = own.buckets
        return {
            "avg_duration_ms": own.seconds / own.count * MILLISECONDS if own.count else 0.0,
            **{f"p{part}_duration_ms": quantile(buckets, part / 100) * MILLISECONDS for part in (50, 95, 99)},
            "min_duration_ms": quantile(buckets, 0) * MILLISECONDS,
            "max_duration_ms": quantile(buckets, 1) * MILLISECONDS,
        }


def numbers_of(snapshots: Iterable[Snapshot]) -> Numbers:
    known = list(snapshots)
    functions = functions_of(known)
    return Numbers(
        functions,
        all_functions(functions.values()),
        sum(snapshot.worker_spawns for snapshot in known),
        sum(snapshot.worker_deaths for snapshot in known),
        sum(snapshot.workers for snapshot in known),
    )
