"""Numbers about numbers. Pure."""

from collections.abc import Mapping, Sequence

PERCENTILES = (50, 75, 90, 95, 99)
FEWEST = 5  # values that percentiles are told of


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Of values in ascending order, at least one."""
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def percentiles(ordered: Sequence[float]) -> Mapping[str, float] | None:
    """None for too few values."""
    if len(ordered) < FEWEST:
        return None
    return {f"p{percent}": percentile(ordered, percent) for percent in PERCENTILES}


def performance(ordered: Sequence[float]) -> Mapping[str, float]:
    """Of durations in ascending order, ms."""
    if not ordered:
        return {f"{name}_duration_ms": 0.0 for name in ("avg", "p50", "p95", "p99", "min", "max")}
    return {
        "avg_duration_ms": sum(ordered) / len(ordered),
        **{f"p{percent}_duration_ms": percentile(ordered, percent) for percent in (50, 95, 99)},
        "min_duration_ms": ordered[0],
        "max_duration_ms": ordered[-1],
    }
