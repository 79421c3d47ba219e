"""What workers last said of their own use of the machine."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from iii_cluster.redis.commands import Unavailable

from .records import Metric, NumberPoint
from .store.store import Store
from .telemetry import Telemetry

MAX_AGE = 120  # seconds
FRESH = 2.0  # seconds in which the store is not asked again
PATIENCE = 1.0  # seconds that a listing of workers waits for it

_MILLISECOND = 1_000_000  # ns
_SECOND = 1_000_000_000  # ns
_WORKER = "worker.id"
_NAMES = {
    "iii.worker.memory.heap_used": "memory_heap_used",
    "iii.worker.memory.heap_total": "memory_heap_total",
    "iii.worker.memory.rss": "memory_rss",
    "iii.worker.memory.external": "memory_external",
    "iii.worker.cpu.user_micros": "cpu_user_micros",
    "iii.worker.cpu.system_micros": "cpu_system_micros",
    "iii.worker.cpu.percent": "cpu_percent",
    "iii.worker.event_loop.lag_ms": "event_loop_lag_ms",
    "iii.worker.uptime_seconds": "uptime_seconds",
}

Latest = dict[str, dict[str, Any]]  # by worker id


def latest(metrics: Sequence[Metric], now: int) -> Latest:
    """Of the last minutes; `metrics` as they were received. `now`: ns."""
    found: Latest = {}
    for metric in metrics:
        name = _NAMES.get(metric.name)
        if name is None or metric.timestamp_unix_nano < now - MAX_AGE * _SECOND:
            continue
        for point in metric.data_points:
            if isinstance(point, NumberPoint):
                worker = dict(point.attributes).get(_WORKER)
                if worker:
                    shown = found.setdefault(worker, dict.fromkeys(_NAMES.values()))
                    shown[name] = point.value
                    shown["timestamp_ms"] = metric.timestamp_unix_nano // _MILLISECOND
                    shown["runtime"] = "node"  # the only clients that measure themselves
    return found


class Gauges:
    """Read from the store, not too often, and by one reader at a time."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._known: Latest = {}
        self._read = -FRESH
        self._reading: asyncio.Task[None] | None = None

    async def latest(self) -> Latest:
        """Never fails: what cannot be read soon is not shown."""
        store = self._telemetry.store
        if store is not None and time.monotonic() - self._read >= FRESH:
            if self._reading is None:
                self._reading = asyncio.get_running_loop().create_task(self._look(store))
            await asyncio.wait([self._reading], timeout=PATIENCE)
        return self._known

    async def _look(self, store: Store) -> None:
        try:
            self._known = latest(await store.metrics(), time.time_ns())
        except (Unavailable, ResponseError):
            self._known = {}
        finally:
            self._read = time.monotonic()
            self._reading = None
