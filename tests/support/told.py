"""A worker that is told of events by triggers of several types, and who makes them happen."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support.raw import Frame, RawWorker
from tests.support.reconnecting import Reconnecting

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


async def write(worker: RawWorker | Reconnecting, n: int) -> None:
    """Everything there is to be told of."""
    await asyncio.gather(
        worker.call("state::set", {"scope": "s", "key": "k", "value": n}),
        worker.call("stream::set", {"stream_name": "items", "group_id": "g", "item_id": "i", "data": {"n": n}}),
        worker.call("publish", {"topic": "news", "data": {"n": n}}),
        worker.call("enqueue", {"topic": "jobs", "data": {"n": n}}),
    )
