"""Small statistics over measured samples, and the rows a run is reported in."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile of values sorted ascending."""
    if not ordered:
        raise ValueError("percentile of nothing")
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def medians(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median of each figure over samples that all have the same figures."""
    return {name: median(sample[name] for sample in samples) for name in samples[0]}


class Row(Struct, frozen=True):
    """One line of the report. The unit of a figure is the end of its name: `p50_ms`, `rss_mib`, `calls_per_s`."""

    scenario: str
    case: str
    figures: dict[str, float]
    verdict: str = ""
