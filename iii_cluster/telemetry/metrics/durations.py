"""Histograms of durations: the bounds that all of them share, and percentiles out of their buckets. Pure."""

from collections.abc import Sequence
from itertools import accumulate

# Upper bounds, s, inclusive; one more bucket has what is longer.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
BUCKETS = len(BOUNDS) + 1


def quantile(buckets: Sequence[int], part: float) -> float:
    """Seconds that `part` (0 to 1) of the durations do not exceed, interpolated within a bucket; 0 without any.

    Of what is longer than the last bound no more is known than that.
    """
    wanted = sum(buckets) * part
    below = 0
    for at, up_to in enumerate(accumulate(buckets)):
        if buckets[at] and up_to >= wanted:
            if at == len(BOUNDS):
                return BOUNDS[-1]
            low = BOUNDS[at - 1] if at else 0.0
            return low + (BOUNDS[at] - low) * (wanted - below) / buckets[at]
        below = up_to
    return 0.0


def added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Of two histograms, the one of both."""
    return [first + second for first, second in zip(one, other, strict=True)]
