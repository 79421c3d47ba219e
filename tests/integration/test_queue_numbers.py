"""How full queues are, told to metrics by one shard each."""

import asyncio
from typing import Any

import pytest

from iii_cluster.cluster.slots import SLOTS
from iii_cluster.telemetry.metrics.snapshot import QueueNumbers
from tests.support.eventually import eventually
from tests.support.queues import Gate, Node, Queues, queues
from tests.support.valkey import ValkeyServer

FIFO = {"type": "fifo", "message_group_field": "user"}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.numbers.INTERVAL", 0.02)
    monkeypatch.setattr("iii_cluster.modules.queue.numbers.PAUSE", 0.0)


def told(node: Node, queue: str = "q") -> QueueNumbers | None:
    return node.engine.telemetry.metrics.snapshot().queues.get(queue)


async def becomes(on: Queues, depth: int, *, waits: bool) -> None:
    def reached() -> bool:
        numbers = told(on.shards[-1])
        return numbers is not None and numbers.depth == depth and (numbers.oldest_seconds > 0) is waits

    await eventually(reached)


@pytest.mark.parametrize("config", [{"concurrency": 1}, {**FIFO, "concurrency": 1}, {"partitions": 3}])
async def test_what_waits_is_counted_and_ages(valkey: ValkeyServer, config: dict[str, Any]) -> None:
    async with queues(valkey.url, {"q": config}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        await becomes(on, 0, waits=False)
        for number in range(30):
            await on.enqueue("q", "f", {"user": f"u{number}"})
        await becomes(on, 30, waits=True)
        await on.gateway.call("iii::queue::purge", {"queue": "q"})
        gate.let_go()
        await on.emptied("q")
        await becomes(on, 0, waits=False)


async def test_dead_letters_and_jobs_that_are_not_due_are_told_apart(valkey: ValkeyServer) -> None:
    config = {"once": {"max_retries": 1}, "late": {"max_retries": 5, "backoff_ms": 100_000}}
    async with queues(valkey.url, config) as on:
        for queue in config:
            await on.enqueue(queue, "nobody", {})

        def counted() -> bool:
            once, late = (told(on.shards[0], queue) for queue in config)
            return once == QueueNumbers(dead=1) and late == QueueNumbers(delayed=1)

        await eventually(counted)


async def test_a_queue_that_moves_is_told_of_by_its_new_owner_alone(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {}}) as on:
        first = on.shards[0]
        await eventually(lambda: told(first) is not None)
        first.engine.ownership.take_away()
        assert told(first) is None
        second = await on.shard(token=2)
        await eventually(lambda: told(second) is not None)
        assert told(first) is None


async def test_a_queue_that_moves_is_told_of_without_waiting_for_the_next_look(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with queues(valkey.url, {"q": {}}) as on:
        [shard] = on.shards
        await eventually(lambda: told(shard) is not None)
        shard.engine.ownership.take_away()
        monkeypatch.setattr("iii_cluster.modules.queue.numbers.INTERVAL", 1000.0)
        await asyncio.sleep(0.1)  # it has begun to wait that long
        assert told(shard) is None
        shard.engine.ownership.give(range(SLOTS), 2)
        await eventually(lambda: told(shard) is not None)


async def test_a_module_that_ended_tells_nothing(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {}}) as on:
        [shard] = on.shards
        await eventually(lambda: told(shard) is not None)
        await shard.host.shutdown()
        assert told(shard) is None
