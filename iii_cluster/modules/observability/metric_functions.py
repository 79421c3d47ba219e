"""engine::metrics::list and engine::rollups::list"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from iii_cluster.modules.module import Function, Request
from iii_cluster.protocol.errors import EngineError

from . import metrics
from .inputs import ListMetrics, ListRollups
from .metrics import span_performance
from .numbers import Numbers
from .shown import encoded, shown_metric
from .sources import Sources, told
from .times import MILLISECOND, SECOND, interval, nanoseconds, now_ms
from .turns import patiently

DEFAULT_PERIOD = 3600  # seconds of rollups that are shown when nobody says more


class MetricFunctions:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def list(self, asked: ListMetrics, _: Request) -> object:
        interval(asked.start_time, asked.end_time)
        store = self._sources.metrics
        numbers = await self._sources.numbers()
        with told():
            kept = await store.metrics() if store is not None else []
        found = await patiently(metrics.chosen(kept, asked))
        return {
            "engine_metrics": {
                "invocations": {**numbers.invocations, "by_function": numbers.by_function()},
                "workers": numbers.workers,
                "performance": await self._performance(numbers),
            },
            "sdk_metrics": await patiently(encoded(found, shown_metric)),
            "timestamp": now_ms(),
            "aggregated_metrics": await patiently(metrics.aggregated(found, asked)),
            "query": {name: value for name, value in structs.asdict(asked).items() if value is not None},
        }

    async def _performance(self, numbers: Numbers) -> Mapping[str, float]:
        """Of all spans that are kept; where none are, of all calls."""
        try:
            with told():
                spans = await self._sources.spans.spans()
        except EngineError:
            spans = []
        return await patiently(span_performance(spans)) if spans else numbers.performance()

    async def rollups(self, asked: ListRollups, _: Request) -> object:
        now = now_ms()
        level = asked.level or 0
        end = now if asked.end_time is None else asked.end_time
        start = max(end - DEFAULT_PERIOD * SECOND // MILLISECOND, 0) if asked.start_time is None else asked.start_time
        with told():
            buckets = await self._sources.rollups.read(level, nanoseconds(start), nanoseconds(end))
        name = asked.metric_name
        return {
            "rollups": [each for bucket in buckets for each in bucket.rollups if name in (None, each.name)],
            "histogram_rollups": [
                each for bucket in buckets for each in bucket.histogram_rollups if name in (None, each.name)
            ],
            "level": level,
            "query": {"start_time": start, "end_time": end, "metric_name": name},
            "timestamp": now,
        }

    def offered(self) -> "dict[str, Function[Any]]":
        return {
            "engine::metrics::list": Function(self.list, ListMetrics, "What the engine and its workers counted"),
            "engine::rollups::list": Function(self.rollups, ListRollups, "Summaries of metrics over time"),
        }
