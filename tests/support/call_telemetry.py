"""What a gateway tells of its calls, kept for tests to look at."""

import json
from typing import Any

from iii_cluster.telemetry.sampling import Sampler
from iii_cluster.telemetry.spool import Spool
from iii_cluster.telemetry.tracing import Recording, Tracer


class CountingTracer(Tracer):
    """Keeps what it began."""

    def __init__(self, ratio: float = 1.0) -> None:
        super().__init__(Spool(), sampler=Sampler(ratio))
        self.begun: list[Recording] = []

    def begin(self, *args: Any, **kwargs: Any) -> Recording | None:
        recording = super().begin(*args, **kwargs)
        if recording is not None:
            self.begun.append(recording)
        return recording

    def under_way(self) -> set[str]:
        """Ids of the spans that have not ended."""
        return {recording.span_id for recording in self.begun if recording._tracer is not None}


class Counts:
    """Implements `Counter`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []  # function, code of the error
        self.queued: list[str] = []
        self.seconds: list[float] = []
        self.exemplars: list[str] = []

    def ended(self, function: str, seconds: float, error: bytes) -> None:
        self.calls.append((function, json.loads(error)["code"] if error else ""))
        self.seconds.append(seconds)

    def deferred(self, function: str) -> None:
        self.queued.append(function)

    def exemplar(self, function: str, seconds: float, trace_id: str) -> None:
        self.exemplars.append(trace_id)
