"""Triggers of a worker whose gateway is told to stop: what is written while it moves reaches it, once."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import Frame, RawWorker, raw_worker
from tests.support.reconnecting import Reconnecting, reconnecting

DELAY = 1.0  # s before a client connects again, as with published ones
PAUSE = 0.01  # s between writes
AFTER = 30  # writes after everything has moved

Read = Callable[[Any], int]  # the number that an event carries

EVENTS: dict[str, tuple[str, dict[str, Any], Read]] = {
    "told of state": ("state", {"scope": "s"}, lambda event: event["new_value"]),
    "told of items": ("stream", {"stream_name": "items"}, lambda event: event["event"]["data"]["n"]),
    "told of news": ("subscribe", {"topic": "news"}, lambda event: event["n"]),
    "told of jobs": ("durable:subscriber", {"topic": "jobs"}, lambda event: event["n"]),
}


class Told:
    """What each function was told, in order."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[int]] = {function: [] for function in EVENTS}

    async def listen(self, worker: Reconnecting) -> None:
        for function, (type, config, read) in EVENTS.items():
            await worker.register(function, self._handler(function, read))
            await worker.trigger(f"trigger of {function}", type, function, config)

    def _handler(self, function: str, read: Read) -> Callable[[Frame], None]:
        return lambda frame: self.numbers[function].append(read(frame["data"]))

    def of(self, first: int) -> dict[str, list[int]]:
        """Without what came before write `first`; in the order of the writes, as topics promise none."""
        return {function: sorted(n for n in numbers if n >= first) for function, numbers in self.numbers.items()}


async def write(worker: RawWorker, n: int) -> None:
    """Everything there is to be told of."""
    await asyncio.gather(
        worker.call("state::set", {"scope": "s", "key": "k", "value": n}),
        worker.call("stream::set", {"stream_name": "items", "group_id": "g", "item_id": "i", "data": {"n": n}}),
        worker.call("publish", {"topic": "news", "data": {"n": n}}),
        worker.call("enqueue", {"topic": "jobs", "data": {"n": n}}),
    )


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
