"""Triggers of a worker whose gateway is told to stop: what is written while it moves reaches it, once."""

import asyncio
import itertools

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import raw_worker
from tests.support.reconnecting import reconnecting
from tests.support.told import EVENTS, Told, write

DELAY = 1.0  # s before a client connects again, as with published ones
PAUSE = 0.01  # s between writes
AFTER = 30  # writes after everything has moved


async def test_every_event_arrives_once_while_the_worker_is_sent_to_another_gateway(own_cluster: Cluster) -> None:
    draining, other = own_cluster.gateways
    told = Told()
    numbers = itertools.count()
    async with reconnecting(draining.url, other.url, delay=DELAY) as worker, raw_worker(other.url) as writer:
        await told.listen(worker)

        async def all_told() -> bool:
            await write(writer, next(numbers))
            return all(told.numbers.values())

        await eventually(all_told)
        first = next(numbers)
        await write(writer, first)
        draining.terminate()
        moved = asyncio.create_task(worker.connections(2))
        left = AFTER
        while left:
            await write(writer, next(numbers))
            await asyncio.sleep(PAUSE)
            left -= moved.done()
        await moved
        expected = list(range(first, next(numbers)))
        await eventually(lambda: all(len(each) >= len(expected) for each in told.of(first).values()), within=30)
        assert told.of(first) == dict.fromkeys(EVENTS, expected)
        assert await asyncio.to_thread(draining.wait) == 0
