"""What time it is in Redis: the clock that all shards go by, whatever their own say. Pure."""

from .core import SECOND

WINDOW = 60.0  # seconds that a fast reply counts; clocks drift


class RedisClock:
    """Never ahead of Redis but by drift, and as much behind as the fastest of the recent replies took.

    `at` is a monotonic time of this process, in seconds.
    """

    def __init__(self, guess: int, at: float) -> None:
        self._offset = guess - _micros(at)
        self._best: int | None = None  # offset by the fastest reply of this window
        self._former: int | None = None  # of the one before
        self._since = at

    def now(self, at: float) -> int:
        """Microseconds since 1970."""
        return self._offset + _micros(at)

    def heard(self, now: int, at: float) -> None:
        """A reply that says `now` has arrived."""
        offset = now - _micros(at)
        if at - self._since > WINDOW:
            self._former, self._best, self._since = self._best, offset, at
        else:
            self._best = offset if self._best is None else max(self._best, offset)
        self._offset = self._best if self._former is None else max(self._best, self._former)

    def correct(self, now: int, at: float) -> None:
        """This clock was ahead: Redis is another server, or its clock was set back."""
        self._offset = self._best = now - _micros(at)
        self._former, self._since = None, at


def _micros(seconds: float) -> int:
    return int(seconds * SECOND)
