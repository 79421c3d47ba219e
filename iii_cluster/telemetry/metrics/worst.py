"""The worst of lately: of the loop's lag, of delays of cron triggers. Pure."""


class Worst:
    """The highest value of the last `window` to twice that many seconds; values are not negative."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._began = 0.0
        self._now = 0.0  # highest since then
        self._before = 0.0  # of the window before

    def put(self, value: float, now: float) -> None:
        self._move(now)
        self._now = max(self._now, value)

    def get(self, now: float) -> float:
        self._move(now)
        return max(self._now, self._before)

    def _move(self, now: float) -> None:
        passed = now - self._began
        if passed >= 2 * self._window:
            self._before = self._now = 0.0
            self._began = now
        elif passed >= self._window:
            self._before, self._now = self._now, 0.0
            self._began += self._window
