"""Milliseconds, as functions speak, and nanoseconds, as records do."""

import time

from iii_cluster.protocol.errors import EngineError

TIME_OVERFLOW = "time_value_overflow"

MILLISECOND = 1_000_000  # ns
SECOND = 1_000_000_000  # ns
_MAX = 2**64 - 1  # ns


def now_ms() -> int:
    return time.time_ns() // MILLISECOND


def nanoseconds(ms: float) -> int:
    """Raises EngineError for what no record's time can be."""
    ns = int(ms * MILLISECOND)
    if ns > _MAX:
        raise EngineError(TIME_OVERFLOW, f"{ms} ms is too large a time")
    return ns


def interval(start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
    """From the first to the last nanosecond that is asked for. Raises EngineError."""
    return nanoseconds(start_ms or 0), _MAX if end_ms is None else nanoseconds(end_ms)
