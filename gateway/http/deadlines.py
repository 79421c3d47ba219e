"""When requests have waited long enough. One timer for all of them: each costs an entry in a dictionary."""

import asyncio
from typing import Protocol


class Expiring(Protocol):
    def expire(self) -> None: ...


class Deadlines:
    """All are equally far away, so the oldest entry is due first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float) -> None:
        """`limit` in seconds."""
        self.limit = limit
        self._loop = loop
        self._entries: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, entry: Expiring) -> None:
        """It expires once, `limit` from now, unless it is given to `end` before."""
        self._entries[entry] = at = self._loop.time() + self.limit
        if self._timer is None:
            self._timer = self._loop.call_at(at, self._look)

    def end(self, entry: Expiring) -> None:
        self._entries.pop(entry, None)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._entries:
            entry, at = next(iter(self._entries.items()))
            if at > now:
                self._timer = self._loop.call_at(at, self._look)
                return
            del self._entries[entry]
            entry.expire()
