"""Named queues in a real RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Gate
from tests.support.rabbit_queues import MakeQueues, rabbit_queues
from tests.support.rabbitmq import RabbitServer
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def make(rabbitmq: RabbitServer, valkey: ValkeyServer) -> AsyncIterator[MakeQueues]:
    async with rabbit_queues(valkey.url, rabbitmq.url) as made:
        yield made


async def test_a_job_is_delivered_once_with_its_data_unchanged(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {}})
    seen: list[Any] = []
    queues.cluster.register("f", seen.append)
    receipt = await queues.enqueue(unique, "f", {"a": [1, None, "ü"]})
    assert receipt
    await eventually(lambda: seen)
    await queues.emptied(unique)
    assert seen == [{"a": [1, None, "ü"]}]


async def test_many_jobs_all_arrive(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {}})
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    await asyncio.gather(*(queues.enqueue(unique, "f", n) for n in range(300)))
    await eventually(lambda: len(seen) == 300)
    assert sorted(seen) == list(range(300))


async def test_no_more_handlers_run_at_once_than_the_queue_allows_whoever_owns_it(
    make: MakeQueues, unique: str
) -> None:
    queues = await make({unique: {"concurrency": 3}}, shards=2)
    gate = Gate()
    queues.cluster.register("f", gate)
    for n in range(10):
        await queues.enqueue(unique, "f", n)
    await gate.holds(3)
    while len(gate.seen) < 10 or gate.waiting:
        gate.let_go()
        await asyncio.sleep(0.01)
    assert gate.most == 3
    assert sorted(gate.seen) == list(range(10))


async def test_a_queue_of_concurrency_one_keeps_the_order(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"concurrency": 1}})
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    for n in range(20):
        await queues.enqueue(unique, "f", n)
    await eventually(lambda: len(seen) == 20)
    assert seen == list(range(20))


async def test_message_groups_of_a_fifo_queue_keep_their_order_also_when_jobs_fail(
    make: MakeQueues, unique: str
) -> None:
    queues = await make({unique: {"type": "fifo", "message_group_field": "g", "backoff_ms": 10, "concurrency": 4}})
    failed: set[Any] = set()
    seen: dict[str, list[int]] = {"a": [], "b": [], "c": []}

    def sometimes(data: Any) -> None:
        if data["n"] % 3 == 0 and (data["g"], data["n"]) not in failed:
            failed.add((data["g"], data["n"]))
            raise EngineError("broken", "")
        seen[data["g"]].append(data["n"])

    queues.cluster.register("f", sometimes)
    for n in range(10):
        for g in seen:
            await queues.enqueue(unique, "f", {"g": g, "n": n})
    await eventually(lambda: all(len(each) == 10 for each in seen.values()))
    assert all(each == list(range(10)) for each in seen.values())
    assert len(failed) == 12


async def test_a_stuck_message_group_does_not_hold_up_the_others(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"type": "fifo", "message_group_field": "g", "concurrency": 2}})
    gate = Gate()
    seen: list[int] = []
    queues.cluster.register("stuck", gate)
    queues.cluster.register("f", lambda data: seen.append(data["n"]))
    for n in range(20):
        await queues.enqueue(unique, "stuck", {"g": "a", "n": n})
    for n in range(20):
        await queues.enqueue(unique, "f", {"g": "b", "n": n})
    await eventually(lambda: seen == list(range(20)))
    assert len(gate.seen) == 1
    gate.let_go()


async def test_a_successor_takes_over_what_is_under_way_and_calls_nobody_twice(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"concurrency": 2}})
    gate = Gate()
    queues.cluster.register("f", gate)
    for n in range(6):
        await queues.enqueue(unique, "f", n)
    await gate.holds(2)
    queues.shards[0].engine.ownership.take_away()
    await queues.shard()
    gate.let_go()
    await gate.holds(2)
    while len(gate.seen) < 6 or gate.waiting:
        gate.let_go()
        await asyncio.sleep(0.01)
    await queues.emptied(unique)
    assert sorted(gate.seen) == list(range(6))
    assert gate.most == 2


async def test_urgent_jobs_are_served_first(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"concurrency": 1, "max_priority": 9, "priority_field": "p"}})
    gate = Gate()
    queues.cluster.register("f", gate)
    await queues.enqueue(unique, "f", {"p": 0})
    await gate.holds(1)
    for p in (1, 5, 300, None, 9):
        await queues.enqueue(unique, "f", {"p": p})
    for count in range(1, 7):
        await eventually(partial(_longer, gate.seen, count))
        gate.let_go()
    assert [data["p"] for data in gate.seen] == [0, 300, 9, 5, 1, None]


async def test_delayed_jobs_wait(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {}})
    seen: list[Any] = []
    queues.cluster.register("f", lambda data: seen.append((data, asyncio.get_running_loop().time())))
    began = asyncio.get_running_loop().time()
    await queues.enqueue(unique, "f", "later", delay_ms=200)
    await queues.enqueue(unique, "f", "now")
    await eventually(lambda: len(seen) == 2)
    assert [data for data, _at in seen] == ["now", "later"]
    assert seen[1][1] - began >= 0.2


def _longer(seen: list[Any], count: int) -> bool:
    return len(seen) >= count
