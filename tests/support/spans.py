"""Spans, logs and metrics as a test needs them, and work in turns done at once."""

from typing import TypeVar

from iii_cluster.modules.observability.turns import Steps
from iii_cluster.telemetry.records import HistogramPoint, Log, Metric, NumberPoint, Span

T = TypeVar("T")

MS = 1_000_000  # ns


def finished(steps: Steps[T]) -> T:
    """The result of work in turns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def span(
    id: str,
    parent: str | None = None,
    *,
    trace: str = "t",
    name: str = "call",
    start: int = 0,
    end: int | None = None,
    status: str = "ok",
    service: str = "iii",
    pending: bool = False,
    **attributes: str,
) -> Span:
    """Times are ms. In names of attributes `__` stands for a dot."""
    ended = 0 if pending else (start if end is None else end) * MS or 1
    own = [(key.replace("__", "."), value) for key, value in attributes.items()]
    made = Span(trace, id, parent, name, start * MS, ended, status, own, service)
    made.pending = pending
    return made


def log(body: str = "", *, time: int = 0, observed: int = 0, severity: int = 9, text: str = "INFO", **ids: str) -> Log:
    """Times are ms."""
    trace, of = ids.get("trace"), ids.get("span")
    return Log(time * MS, observed * MS, severity, text, body, {}, trace, of, {}, ids.get("service", "shop"))


def metric(
    name: str, *values: float, time: int = 0, kind: str = "gauge", service: str = "shop", **labels: str
) -> Metric:
    """`time` in ms."""
    points: list[NumberPoint | HistogramPoint] = [
        NumberPoint(value, list(labels.items()), time * MS) for value in values
    ]
    return Metric(name, "", "", kind, points, service, time * MS)
