"""How often something may happen: a token bucket. Pure."""


class Rate:
    """`per_second` in the long run, `at_once` after a quiet while. `now` is any monotonic clock in seconds."""

    def __init__(self, per_second: float, at_once: int) -> None:
        self._per_second = per_second
        self._most = float(at_once)
        self._left = self._most
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether it may happen now; then it counts."""
        if self._at is not None:
            self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
