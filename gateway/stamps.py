"""When something was registered, so that everybody agrees on what came first."""

import time


class Stamps:
    """Of one gateway: each is greater than those before, also of the same moment, or when the clock is set back."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Unix time in microseconds, or a little more."""
        self._last = max(self._last + 1, time.time_ns() // 1_000)
        return self._last
