"""The run as a picture: throughput, errors and latency over time, and under them the faults. Plain SVG."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from msgspec import Struct

from iii_cluster.chaos.history import FOREVER, Injected, end

from .effects import BUCKET as EFFECT_BUCKET
from .statistics import BUCKET, Bucket

WIDTH = 1200
LEFT, RIGHT = 70, 20  # margins
TOP = 56
PLOT = 150  # height of a curve
BETWEEN = 44
LANE = 20  # height of a fault's row
THINNEST = 2.0  # width of a fault's bar
GRID_LINES = 4
LABEL_WIDTH = 6.3  # of a letter, about

COLOURS = {
    "gateway": "#d9480f",
    "shard": "#2b8a3e",
    "coordinator": "#862e9c",
    "leader": "#862e9c",
    "redis": "#c92a2a",
    "workers": "#1864ab",
    "network": "#5f3dc4",
}
LEGEND = LEFT + 260  # where the colours of faults are explained
EFFECT_COLOURS = ("#1971c2", "#e8590c", "#2f9e44", "#9c36b5", "#868e96", "#c2255c", "#0c8599")
OK_COLOUR, FAILED_COLOUR, LATENCY_COLOUR = "#74b816", "#e03131", "#1971c2"

STYLE = (
    "text{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif;font-size:12px;fill:#212529}"
    " .title{font-size:16px;font-weight:bold} .axis{fill:#868e96}"
    " .grid{stroke:#dee2e6} .fault{font-size:11px}"
)


class Span(Struct, frozen=True):
    """The seconds that are shown."""

    first: float
    last: float


class _Scale:
    """Seconds to the right, values upwards."""

    def __init__(self, span: Span, bottom: float, top_value: float) -> None:
        self._first = span.first
        self._per_second = (WIDTH - LEFT - RIGHT) / (span.last - span.first)
        self._bottom = bottom
        self._per_unit = PLOT / top_value

    def x(self, seconds: float) -> float:
        """Nothing goes beyond the edges."""
        return round(min(max(LEFT, LEFT + (seconds - self._first) * self._per_second), WIDTH - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(self._bottom - value * self._per_unit, 1)


def draw(
    title: str, buckets: Sequence[Bucket], effects: Mapping[str, Sequence[int]], faults: Sequence[Injected], span: Span
) -> str:
    """The SVG document. `effects` are those of each stretch of EFFECT_BUCKET seconds."""
    shown = [fault for fault in faults if not fault.skipped]
    lanes = _lanes(shown, span)
    plots = 3 if effects else 2
    below = TOP + plots * PLOT + (plots - 1) * BETWEEN + 40
    height = below + LANE * max(1, max(lanes, default=0) + 1) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
        *_shades(shown, span, below),
        *_throughput(buckets, span),
        *_legend(shown),
        *_latency(buckets, span),
        *_effects(effects, span),
        *_seconds(span, below - 22),
        *_bars(shown, lanes, span, below),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _throughput(buckets: Sequence[Bucket], span: Span) -> Iterator[str]:
    top = _nice(max((bucket.ok + bucket.failed for bucket in buckets), default=0) / BUCKET)
    scale = _Scale(span, TOP + PLOT, top)
    yield from _grid(scale, top, "calls/s")
    yield f'<text x="{LEFT + 70}" y="{TOP - 8}" style="fill:{OK_COLOUR}">■ succeeded</text>'
    yield f'<text x="{LEFT + 160}" y="{TOP - 8}" style="fill:{FAILED_COLOUR}">■ failed</text>'
    for bucket in _shown(buckets, span):
        x, wide = scale.x(bucket.at), max(0.5, scale.x(bucket.at + BUCKET) - scale.x(bucket.at) - 0.4)
        ok, failed = bucket.ok / BUCKET, bucket.failed / BUCKET
        if ok:
            yield _rect(x, scale.y(ok), wide, scale.y(0) - scale.y(ok), OK_COLOUR)
        if failed:
            yield _rect(x, scale.y(ok + failed), wide, scale.y(ok) - scale.y(ok + failed), FAILED_COLOUR)


def _legend(faults: Sequence[Injected]) -> Iterator[str]:
    """Whose faults have which colour, of those that happened."""
    happened = {_target(fault) for fault in faults}
    by_colour: dict[str, list[str]] = {}
    for target, colour in COLOURS.items():
        if target in happened:
            by_colour.setdefault(colour, []).append(target)
    x = float(LEGEND)
    for colour, targets in by_colour.items():
        text = f"■ {', '.join(targets)}"
        yield f'<text x="{x:.0f}" y="{TOP - 8}" style="fill:{colour}">{text}</text>'
        x += (len(text) + 2) * LABEL_WIDTH * 1.1


def _latency(buckets: Sequence[Bucket], span: Span) -> Iterator[str]:
    """On a logarithmic scale from a millisecond up: both a usual day and an outage are to be seen."""
    worst = max((bucket.p99 for bucket in buckets if bucket.p99), default=0.001)
    decades = max(1, math.ceil(math.log10(max(worst * 1000, 1.001))))
    scale = _Scale(span, TOP + 2 * PLOT + BETWEEN, decades)
    for decade in range(decades + 1):
        y = scale.y(decade)
        label = f"{10**decade} ms" if decade < 3 else f"{10 ** (decade - 3)} s"
        yield _line(y)
        yield f'<text class="axis" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{label}</text>'
    yield f'<text x="{LEFT}" y="{scale.y(decades) - 8}">p99 of calls that succeeded</text>'
    points = [
        (scale.x(bucket.at + BUCKET / 2), scale.y(math.log10(max(bucket.p99 * 1000, 1))))
        for bucket in _shown(buckets, span)
        if bucket.p99 is not None
    ]
    path = " ".join(f"{x},{y}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{LATENCY_COLOUR}" stroke-width="1.5"/>'


def _effects(effects: Mapping[str, Sequence[int]], span: Span) -> Iterator[str]:
    if not effects:
        return
    bottom = TOP + 3 * PLOT + 2 * BETWEEN
    top = _nice(max(max(counts) for counts in effects.values()) / EFFECT_BUCKET)
    scale = _Scale(span, bottom, top)
    yield from _grid(scale, top, "effects/s")
    x = float(LEFT + 90)
    for (name, counts), colour in zip(effects.items(), itertools.cycle(EFFECT_COLOURS)):
        text = f"■ {name}"
        yield f'<text x="{x:.0f}" y="{bottom - PLOT - 8}" style="fill:{colour}">{text}</text>'
        x += (len(text) + 2) * LABEL_WIDTH * 1.1
        moments = ((index * EFFECT_BUCKET, count / EFFECT_BUCKET) for index, count in enumerate(counts))
        path = " ".join(
            f"{scale.x(at + EFFECT_BUCKET / 2)},{scale.y(rate)}" for at, rate in moments if span.first <= at < span.last
        )
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _shown(buckets: Sequence[Bucket], span: Span) -> Iterator[Bucket]:
    return (bucket for bucket in buckets if bucket.at >= span.first)


def _grid(scale: _Scale, top: float, unit: str) -> Iterator[str]:
    for step in range(GRID_LINES + 1):
        value = top * step / GRID_LINES
        y = scale.y(value)
        yield _line(y)
        yield f'<text class="axis" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>'
    yield f'<text x="{LEFT}" y="{scale.y(top) - 8}">{unit}</text>'


def _seconds(span: Span, y: float) -> Iterator[str]:
    scale = _Scale(span, 0, 1)
    step = max(1, round(_nice((span.last - span.first) / 12)))
    for second in range(math.ceil(span.first / step) * step, math.floor(span.last) + 1, step):
        yield f'<text class="axis" x="{scale.x(second)}" y="{y}" text-anchor="middle">{second} s</text>'


def _shades(faults: Sequence[Injected], span: Span, bottom: float) -> Iterator[str]:
    """Behind the curves: when something was broken."""
    for fault in faults:
        x, wide = _extent(fault, span)
        height = bottom - TOP
        yield f'<rect x="{x}" y="{TOP}" width="{wide}" height="{height}" fill="{_colour(fault)}" opacity="0.08"/>'


def _bars(faults: Sequence[Injected], lanes: Sequence[int], span: Span, top: float) -> Iterator[str]:
    for fault, lane in zip(faults, lanes, strict=True):
        x, wide = _extent(fault, span)
        y = top + lane * LANE
        yield _rect(x, y, wide, LANE - 6, _colour(fault))
        label = escape(_label(fault))
        if _fits(x + wide, fault):
            yield f'<text class="fault" x="{x + wide + 4}" y="{y + 11}">{label}</text>'
        else:
            yield f'<text class="fault" x="{x - 4}" y="{y + 11}" text-anchor="end">{label}</text>'


def _lanes(faults: Sequence[Injected], span: Span) -> list[int]:
    """A row for each fault so that no bar or label covers another."""
    ends: list[float] = []
    lanes = []
    for fault in faults:
        x, wide = _extent(fault, span)
        text = len(_label(fault)) * LABEL_WIDTH + 12
        start, stop = (x, x + wide + text) if _fits(x + wide, fault) else (x - text, x + wide)
        lane = next((number for number, taken in enumerate(ends) if taken <= start), len(ends))
        ends[lane : lane + 1] = [stop]
        lanes.append(lane)
    return lanes


def _fits(x: float, fault: Injected) -> bool:
    return x + len(_label(fault)) * LABEL_WIDTH + 12 < WIDTH


def _extent(fault: Injected, span: Span) -> tuple[float, float]:
    scale = _Scale(span, 0, 1)
    over = end(fault.over)
    x = min(scale.x(fault.began), WIDTH - RIGHT - THINNEST)
    return x, max(THINNEST, round(scale.x(min(over, span.last)) - x, 1))


def _label(fault: Injected) -> str:
    who = ", ".join(
        victim.split("-", 2)[-1] if fault.kind.startswith("workers") else victim for victim in fault.victims
    )
    over = end(fault.over)
    lasted = f" {over - fault.began:.1f} s" if over != FOREVER and over - fault.began >= 0.05 else ""
    return f"#{fault.index} {fault.kind}{lasted}" + (f" ({who})" if len(who) <= 40 and who != "redis" else "")


def _colour(fault: Injected) -> str:
    return COLOURS[_target(fault)]


def _target(fault: Injected) -> str:
    return fault.kind.partition("-")[0]


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _line(y: float) -> str:
    return f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'


def _nice(value: float) -> float:
    """The next of 1, 2, 4 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value)
