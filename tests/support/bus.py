"""Buses without a cluster around them, and a record of what they deliver."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from iii_cluster.bus.envelopes import Result
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.keys import Keys

MakeBus = Callable[..., Awaitable[Bus]]


@asynccontextmanager
async def started_buses() -> AsyncIterator[MakeBus]:
    """Starts buses of one cluster, given a node id and URLs; stops them at the end."""
    started: list[Bus] = []

    async def make(node: str, *urls: str) -> Bus:
        bus = Bus(node, urls, Keys("test"))
        started.append(bus)  # also one whose start is given up
        await bus.start()
        return bus

    try:
        yield make
    finally:
        await asyncio.gather(*(bus.stop() for bus in started))


class Inbox:
    """Everything a bus delivered, by source."""

    def __init__(self, bus: Bus) -> None:
        self.by_source: dict[str, list[int]] = {}
        self.resets: list[str] = []
        self.hears = asyncio.Event()
        bus.on(Result, self._took)
        bus.on_reset = self.resets.append

    def _took(self, src: str, envelope: Result) -> None:
        self.hears.set()
        self.by_source.setdefault(src, []).append(int(envelope.id))

    def of(self, src: str) -> list[int]:
        return self.by_source.get(src, [])


async def send_numbers(bus: Bus, to: str, first: int, last: int) -> None:
    """Bursts of numbered envelopes with small pauses, so that flushes and failures interleave."""
    for number in range(first, last):
        bus.send(to, Result(str(number), b"x" * (number % 300)))
        if number % 50 == 0:
            await asyncio.sleep(0.001)


async def send_until(bus: Bus, to: str, end: asyncio.Event) -> int:
    """Numbered envelopes in small bursts; returns how many."""
    number = 0
    while not end.is_set():
        for _ in range(20):
            bus.send(to, Result(str(number), b"x" * (number % 300)))
            number += 1
        await asyncio.sleep(0.002)
    return number
