"""The metrics of one process, through all its incarnations: who counts does it here, who wants to know asks here."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .cron import Cron
from .functions import Functions
from .lag import LoopLag
from .process import ThisProcess
from .requests import Requests
from .snapshot import Snapshot

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

Source = Callable[[Snapshot], None]  # writes what it knows into a snapshot


class Metrics:
    """`functions` and the plain numbers are for whoever has something to count."""

    def __init__(self) -> None:
        self.functions = Functions()
        self.requests = Requests()
        self.cron = Cron()
        self.lag = LoopLag()
        self.worker_spawns = 0
        self.worker_deaths = 0
        self._process = ThisProcess()
        self._sources: list[Source] = []
        self._drops: dict[str, Callable[[], Mapping[str, int]]] = {}  # by stage
        self._node: Source = lambda _: None

    def watch(self, source: Source) -> None:
        """Ask `source` for every snapshot from now on; it must be quick."""
        self._sources.append(source)

    def unwatch(self, source: Source) -> None:
        self._sources.remove(source)

    def watch_drops(self, stage: str, dropped: Callable[[], Mapping[str, int]]) -> None:
        """`dropped()` counts what a stage of telemetry gave up, by signal: spans, logs, metrics."""
        self._drops[stage] = dropped

    def of_node(self, source: Source) -> None:
        """Who tells of the present incarnation and its role; instead of the one before."""
        self._node = source

    def for_collectors(self) -> Callable[[], "MetricsData"]:
        """As of now; what it returns may be called in another thread, where it takes its time."""
        snapshot = self.snapshot()

        def made() -> "MetricsData":
            from .otel import otel_metrics

            return otel_metrics(snapshot)

        return made

    def snapshot(self) -> Snapshot:
        """As of now. Takes about a microsecond per function that was ever called."""
        now = self._process.look()
        snapshot = Snapshot(
            time_ms=int(time.time() * 1000),
            functions=self.functions.numbers(),
            error_codes=self.functions.error_codes(),
            http=self.requests.numbers(),
            worker_spawns=self.worker_spawns,
            worker_deaths=self.worker_deaths,
            cron_fired=self.cron.fired,
            cron_lag_seconds=self.cron.lag,
            loop_lag_ms=self.lag.seconds * 1000,
            cpu_seconds=now.cpu_seconds,
            rss_bytes=now.rss_bytes,
            virtual_bytes=now.virtual_bytes,
            fds=now.fds,
            max_fds=now.max_fds,
            dropped={
                f"{stage}/{signal}": count
                for stage, dropped in self._drops.items()
                for signal, count in dropped().items()
            },
        )
        for source in (self._node, *self._sources):
            source(snapshot)
        return snapshot
