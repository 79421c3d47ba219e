"""Arithmetic that loses nothing: integers of 64 bits, signed or not, and floats. Pure."""

import math
from typing import Any

from .failure import Failed, kind_of

LOWEST = -(2**63)
HIGHEST = 2**64 - 1


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def plus(value: Any, by: int | float, where: str) -> int | float:
    """Raises Failed when the value is no number, or the sum is none that can be kept."""
    if not is_number(value):
        raise Failed("not_number", f"the value at path {where} is {kind_of(value)}, not a number")
    try:
        total: int | float = value + by
    except OverflowError:  # an integer that no float can hold
        total = math.inf
    if not (LOWEST <= total <= HIGHEST if isinstance(total, int) else math.isfinite(total)):
        raise Failed("not_number", f"the value at path {where} would become too big a number")
    return total
