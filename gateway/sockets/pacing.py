"""How fast newcomers are let in: a token bucket with a queue, first come first served. Pure: time is an argument."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Pacing(Generic[T]):
    """Lets `rate` entrants per second through, as many again at once after a quiet second; the others wait."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._filled_at = 0.0
        self._waiting: dict[T, None] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, entrant: T, now: float) -> bool:
        """True when it may go on at once; otherwise it waits until `due` names it."""
        self._fill(now)
        if self._waiting or self._tokens < 1:
            self._waiting[entrant] = None
            return False
        self._tokens -= 1
        return True

    def give_up(self, entrant: T) -> None:
        """It does not wait any more."""
        self._waiting.pop(entrant, None)

    def due(self, now: float) -> list[T]:
        """Those whose turn has come, longest waiting first."""
        self._fill(now)
        count = min(int(self._tokens), len(self._waiting))
        self._tokens -= count
        return [self._next() for _ in range(count)]

    def clear(self) -> list[T]:
        """Everybody who waits; nobody does any more."""
        waiting, self._waiting = list(self._waiting), {}
        return waiting

    def delay(self, now: float) -> float:
        """Seconds until the next one's turn."""
        self._fill(now)
        return max(1 - self._tokens, 0) / self._rate

    def _next(self) -> T:
        entrant = next(iter(self._waiting))
        del self._waiting[entrant]
        return entrant

    def _fill(self, now: float) -> None:
        self._tokens = min(self._rate, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
