"""What this process has to tell and has not passed on yet. Bounded: beyond that it is dropped and counted."""

from msgspec import Struct

from .records import Log, Metric, Span

MAX_SPANS = 20_000
MAX_LOGS = 5_000
MAX_METRICS = 10_000


class Batch(Struct):
    spans: list[Span]
    logs: list[Log]
    metrics: list[Metric]

    def __bool__(self) -> bool:
        return bool(self.spans or self.logs or self.metrics)


class Spool:
    """Filled by whoever has something, emptied by the pipeline a few times per second."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._logs: list[Log] = []
        self._metrics: list[Metric] = []
        self.dropped_spans = 0
        self.dropped_logs = 0
        self.dropped_metrics = 0

    def span(self, span: Span) -> None:
        if len(self._spans) < MAX_SPANS:
            self._spans.append(span)
        else:
            self.dropped_spans += 1

    def log(self, log: Log) -> None:
        if len(self._logs) < MAX_LOGS:
            self._logs.append(log)
        else:
            self.dropped_logs += 1

    def metric(self, metric: Metric) -> None:
        if len(self._metrics) < MAX_METRICS:
            self._metrics.append(metric)
        else:
            self.dropped_metrics += 1

    def lost(self, spans: int = 0, logs: int = 0, metrics: int = 0) -> None:
        """So many were dropped before they came here."""
        self.dropped_spans += spans
        self.dropped_logs += logs
        self.dropped_metrics += metrics

    def dropped(self) -> dict[str, int]:
        """By signal."""
        return {"spans": self.dropped_spans, "logs": self.dropped_logs, "metrics": self.dropped_metrics}

    def take(self) -> Batch:
        """All of it."""
        batch = Batch(self._spans, self._logs, self._metrics)
        self._spans, self._logs, self._metrics = [], [], []
        return batch
