"""How many requests are under way at once: in all, and to one host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Host:
    __slots__ = ("places", "wanted")

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.wanted = 0  # by those who have one, and those who wait


class Places:
    """In the order of asking; who waits for one host keeps no place from the others."""

    def __init__(self, total: int, per_host: int) -> None:
        self._total = asyncio.Semaphore(total)
        self._per_host = per_host
        self._hosts: dict[str, _Host] = {}
        self.taken = 0

    @property
    def waiting(self) -> int:
        return sum(host.wanted for host in self._hosts.values()) - self.taken

    @asynccontextmanager
    async def at(self, host: str) -> AsyncIterator[None]:
        known = self._hosts.get(host)
        if known is None:
            known = self._hosts[host] = _Host(self._per_host)
        known.wanted += 1
        try:
            async with known.places, self._total:
                self.taken += 1
                try:
                    yield
                finally:
                    self.taken -= 1
        finally:
            known.wanted -= 1
            if not known.wanted:
                del self._hosts[host]
