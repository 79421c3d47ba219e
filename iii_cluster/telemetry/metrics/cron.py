"""How punctually cron triggers are run."""

import time

from .worst import Worst

WINDOW = 60.0  # s; a delay is told for one to two of them


class Cron:
    def __init__(self) -> None:
        self.fired = 0
        self._worst = Worst(WINDOW)

    def run(self, late: float) -> None:
        """A tick is run, so many seconds after its time."""
        self.fired += 1
        self._worst.put(max(0.0, late), time.monotonic())

    @property
    def lag(self) -> float:
        """Seconds, the worst of lately."""
        return self._worst.get(time.monotonic())
