"""The text that Prometheus reads, made by its own client library in slices, so that nobody else has to wait for it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import accumulate, islice
from typing import TYPE_CHECKING

from .durations import BOUNDS
from .families import FAMILIES, Family, Kind, Point
from .functions import Exemplar
from .metrics import Metrics
from .snapshot import Snapshot

if TYPE_CHECKING:  # it takes 50 ms to import, and nobody may ever ask
    from prometheus_client import Metric

POINTS = 100  # of one slice; a point of a histogram makes many lines
HISTOGRAMS = 10  # the same of histograms
REST = 10  # texts may take one part in so many of the time: until then, who asks gets the last one

_BOUNDS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
_END = b"# EOF\n"

Exemplars = Callable[[str], dict[int, Exemplar]]  # (function) by bucket
Encode = Callable[["_Slice"], bytes]


class _Slice:
    """One metric, as the library's encoders want it."""

    def __init__(self, metric: "Metric") -> None:
        self._metric = metric

    def collect(self) -> Iterable["Metric"]:
        return [self._metric]


class Exposition:
    """Of one process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()
        self._made: dict[str, tuple[float, bytes]] = {}  # by content type: until when it is good, and the text

    async def text(self, accept: str) -> tuple[str, bytes]:
        """Content type and text, as the Accept header asks: Prometheus' own format, or OpenMetrics with exemplars."""
        await asyncio.to_thread(import_module, "prometheus_client.exposition")
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        async with self._one_at_a_time:
            until, text = self._made.get(content_type, (0.0, b""))
            began = time.monotonic()
            if began >= until:
                slices = _slices(self._metrics.snapshot(), self._metrics.functions.exemplars)
                text = await _joined(slices, encode, openmetrics="openmetrics" in content_type)
                ended = time.monotonic()
                self._made = {content_type: (ended + (ended - began) * REST, text)}
        return content_type, text


async def _joined(slices: Iterator[_Slice], encode: Encode, *, openmetrics: bool) -> bytes:
    parts = []
    head = b""
    for slice in slices:
        own, lines = _split(encode(slice).removesuffix(_END))
        parts += [lines] if own == head else [own, lines]
        head = own
        await asyncio.sleep(0)
    return b"".join((*parts, _END if openmetrics else b""))


def _split(text: bytes) -> tuple[bytes, bytes]:
    """What a slice says of its metric, and its series."""
    at = 0
    while text.startswith(b"# ", at):
        at = text.index(b"\n", at) + 1
    return text[:at], text[at:]


def _slices(snapshot: Snapshot, exemplars: Exemplars) -> Iterator[_Slice]:
    for family in FAMILIES:
        points = iter(family.read(snapshot))
        size = HISTOGRAMS if family.kind is Kind.HISTOGRAM else POINTS
        while some := list(islice(points, size)):
            yield _Slice(_metric(family, some, exemplars))


def _metric(family: Family, points: Iterable[Point], exemplars: Exemplars) -> "Metric":
    from prometheus_client import Metric

    metric = Metric(family.name, family.help, family.kind.value)
    for point in points:
        labels = dict(zip(family.labels, point.labels, strict=True))
        if point.buckets is None:
            metric.add_sample(family.exposed, labels, point.value)
            continue
        known = exemplars(point.labels[0]) if "function_id" in labels and labels["status"] == "ok" else {}
        _add_histogram(metric, labels, point.buckets, point.value, known)
    return metric


def _add_histogram(
    metric: "Metric", labels: dict[str, str], buckets: list[int], seconds: float, exemplars: dict[int, Exemplar]
) -> None:
    from prometheus_client.samples import Exemplar as Told

    count = 0
    for at, (bound, count) in enumerate(zip(_BOUNDS, accumulate(buckets), strict=True)):
        known = exemplars.get(at)
        told = Told({"trace_id": known.trace_id}, known.seconds, known.timestamp) if known is not None else None
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, count, exemplar=told)
    metric.add_sample(f"{metric.name}_count", labels, count)
    metric.add_sample(f"{metric.name}_sum", labels, seconds)
