"""How a worker waits before it connects again: as the published clients do, but with a lower cap."""

import random

FIRST = 1.0  # s
JITTER = 0.3
LONGEST = 2.0  # s; clients in the field go to 30, here it would only hide what the cluster does


class Backoff:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next = FIRST

    def reset(self) -> None:
        self._next = FIRST

    def wait(self) -> float:
        """Seconds until the next attempt."""
        delay = self._next * self._rng.uniform(1 - JITTER, 1 + JITTER)
        self._next = min(self._next * 2, LONGEST)
        return delay
