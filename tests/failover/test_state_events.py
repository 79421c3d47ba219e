"""State events while the shards that dispatch them come and go."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, Frame, RawWorker, raw_worker

KEYS = [f"k{number}" for number in range(40)]  # spread over both shards
ROUNDS = 60
TROUBLE_AT = 20  # round


class Handler:
    """Keeps what it is told, by key."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {}

    def __call__(self, frame: Frame) -> Any:
        event = frame["data"]
        self.values.setdefault(event["key"], []).append(event["new_value"])
        return None


@asynccontextmanager
async def listening(cluster: Cluster, handler: Handler) -> AsyncIterator[RawWorker]:
    """A writer on one gateway, told of what it writes through a trigger and a handler on the other."""
    async with raw_worker(cluster.gateways[0].url) as writer, raw_worker(cluster.gateways[1].url) as worker:
        await worker.register("told", handler)
        await worker.send("registertrigger", id="t", trigger_type="state", function_id="told", config={"scope": "s"})

        async def told() -> bool:
            await writer.call("state::set", {"scope": "s", "key": "probe", "value": 1})
            return bool(handler.values)

        await eventually(told)
        yield writer


async def increments(writer: RawWorker, trouble: Callable[[], None]) -> None:
    async def increment(key: str) -> None:
        ops = [{"type": "increment", "path": "", "by": 1}]
        await writer.call("state::update", {"scope": "s", "key": key, "ops": ops}, within=30)

    for number in range(ROUNDS):
        if number == TROUBLE_AT:
            trouble()
        await asyncio.gather(*map(increment, KEYS))


async def all_told(handler: Handler) -> None:
    """Every write once, those of a key in order."""
    everything = list(range(1, ROUNDS + 1))
    await eventually(lambda: all(handler.values.get(key, [0])[-1] == ROUNDS for key in KEYS), within=30)
    assert {key: handler.values[key] for key in KEYS} == dict.fromkeys(KEYS, everything)


async def test_a_killed_shard_s_events_are_neither_lost_nor_repeated(own_cluster: Cluster) -> None:
    handler = Handler()
    async with listening(own_cluster, handler) as writer:
        await increments(writer, own_cluster.shards[0].kill)
        await all_told(handler)


async def test_a_shard_that_stops_hands_its_events_over(own_cluster: Cluster) -> None:
    handler = Handler()
    async with listening(own_cluster, handler) as writer:
        await increments(writer, own_cluster.shards[0].terminate)
        await all_told(handler)


async def test_a_shard_that_was_paused_repeats_nothing(own_cluster: Cluster) -> None:
    handler = Handler()
    async with listening(own_cluster, handler) as writer:
        await increments(writer, own_cluster.shards[0].pause)
        await eventually(lambda: all(handler.values.get(key, [0])[-1] == ROUNDS for key in KEYS), within=30)
        own_cluster.shards[0].resume()
        await all_told(handler)


async def test_a_killed_gateway_loses_no_event_of_an_answered_write(own_cluster: Cluster) -> None:
    handler = Handler()
    answered: dict[str, int] = dict.fromkeys(KEYS, 0)
    async with (
        raw_worker(own_cluster.gateways[0].url) as writer,
        raw_worker(own_cluster.gateways[1].url) as worker,
    ):
        await worker.register("told", handler)
        await worker.send("registertrigger", id="t", trigger_type="state", function_id="told", config={"scope": "s"})

        async def told() -> bool:
            await writer.call("state::set", {"scope": "s", "key": "probe", "value": 1})
            return bool(handler.values)

        await eventually(told)

        async def write(key: str) -> None:
            try:
                for number in range(1, 10_000):
                    await writer.call("state::set", {"scope": "s", "key": key, "value": number})
                    answered[key] = number
            except (CallFailed, AssertionError, ConnectionClosed):
                return  # the gateway is gone

        writing = [asyncio.ensure_future(write(key)) for key in KEYS]
        await eventually(lambda: min(answered.values()) > 5)
        own_cluster.gateways[0].kill()
        await asyncio.gather(*writing)

        def complete() -> bool:
            return all(len(handler.values.get(key, [])) >= answered[key] for key in KEYS)

        await eventually(complete, within=30)
        for key in KEYS:
            values = handler.values[key]
            assert values == list(range(1, len(values) + 1))
