"""How many log lines strangers may cause. Pure."""


class Quota:
    """`limit` lines per second; the rest is counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    def take(self) -> bool:
        """Whether one more line may be written."""
        self._used += 1
        return self._used <= self._limit

    def renew(self) -> int:
        """A second has passed. Returns how many lines were kept back in it."""
        kept_back = max(0, self._used - self._limit)
        self._used = 0
        return kept_back
