"""What nobody comes for any more is not kept for ever."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Gate, Queues, queues, subscriber
from tests.support.valkey import ValkeyServer

KEPT = 0.5  # seconds
SOON = {"group_retention_hours": KEPT / 3600}
ATTENDED = "{iii}:queues:attended"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.retention.LOOK", 0.05)
    monkeypatch.setattr("iii_cluster.modules.queue.retention.GRACE", 0.0)
    monkeypatch.setattr("iii_cluster.modules.queue.consumption.SLOW_TICK", 0.05)
    monkeypatch.setattr("iii_cluster.modules.queue.consumption.ATTEND", 0.05)


@pytest.fixture
async def on(valkey: ValkeyServer) -> AsyncIterator[Queues]:
    async with queues(valkey.url, module=SOON) as made:
        yield made


def traces(valkey: ValkeyServer) -> list[str]:
    """Keys of topics and groups, apart from those that end by themselves."""
    keys: list[str] = valkey.execute("KEYS", "*:queue*")
    return sorted(key for key in keys if ":fn:" not in key and valkey.execute("TTL", key) == -1)


@pytest.mark.parametrize("topic", ["a", "a@b#%:c*", "ünï ☃\n"])
async def test_a_group_that_nobody_comes_back_to_ends_with_all_it_has(
    on: Queues, valkey: ValkeyServer, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_data: Any) -> None:
        raise EngineError("broken", "always")

    on.cluster.register("f", broken)
    await on.subscribe(subscriber("t1", topic, "f", queue_config={"maxRetries": 0}))
    await on.publish(topic, 1)
    await eventually(lambda: on.dead(topic))
    on.cluster.drop("t1")
    await asyncio.sleep(0.1)
    for number in range(3):
        await on.publish(topic, number)
    await eventually(lambda: traces(valkey) == [])
    assert all(valkey.execute("TTL", key) > 0 for key in valkey.execute("KEYS", "*:sub:*"))
    (line,) = [record for record in caplog.messages if "action=group_expired" in record]
    assert line.endswith("jobs=4")
    await on.publish(topic, 5)
    seen: list[Any] = []
    on.cluster.register("f", seen.append)
    await on.subscribe(subscriber("t2", topic, "f"))
    await eventually(lambda: seen == [5])


async def test_a_group_with_many_jobs_ends_in_steps(on: Queues, valkey: ValkeyServer) -> None:
    on.cluster.register("f", lambda _data: None)
    await on.subscribe(subscriber("t1", "a", "f", queue_config={"concurrency": 0}))
    await asyncio.gather(*(on.publish("a", number) for number in range(1200)))
    assert (await on.stats("a"))["depth"] == 1200
    on.cluster.drop("t1")
    await eventually(lambda: traces(valkey) == [])


@pytest.mark.parametrize("how", [{}, {"concurrency": 0}])
async def test_a_group_with_triggers_stays_however_long_nothing_happens(
    on: Queues, valkey: ValkeyServer, how: dict[str, int]
) -> None:
    on.cluster.register("f", lambda _data: None)
    await on.subscribe(subscriber("t1", "a", "f", queue_config=how))
    await on.subscribe(subscriber("t2", "a", "g"))
    on.cluster.drop("t2")
    await eventually(lambda: valkey.execute("ZCARD", ATTENDED) == 1)
    await asyncio.sleep(2 * KEPT)
    assert valkey.execute("SMEMBERS", "{iii}:queues:subscribers:a") == {"sub:a@default@f#0"}


async def test_what_a_group_had_that_was_taken_back_ends_too(on: Queues, valkey: ValkeyServer) -> None:
    on.cluster.register("f", lambda _data: None)
    trigger = subscriber("t1", "a", "f", queue_config={"concurrency": 0})
    await on.subscribe(trigger)
    await on.publish("a", 1)
    await on.unsubscribe(trigger)
    await eventually(lambda: traces(valkey) == [])


async def test_a_handler_at_work_is_left_alone(on: Queues, valkey: ValkeyServer) -> None:
    gate = Gate()
    on.cluster.register("f", gate)
    await on.subscribe(subscriber("t1", "a", "f", queue_config={"concurrency": 1}))
    await on.publish("a", 1)
    await on.publish("a", 2)
    await gate.holds(1)
    on.cluster.drop("t1")
    await eventually(lambda: not valkey.execute("EXISTS", "{iii}:queue:sub:a@default@f#0:waiting"))
    assert valkey.execute("ZCARD", "{iii}:queue:sub:a@default@f#0:active") == 1
    gate.let_go()
    await eventually(lambda: traces(valkey) == [])
    assert gate.seen == [1]


async def test_messages_that_no_group_comes_for_end_one_by_one(on: Queues, valkey: ValkeyServer) -> None:
    delayed = {"topic": "a", "data": -1, "delay_ms": 100}
    for number in range(250):
        await on.publish("a", "x" * (number if number % 50 else 400 * number))
    await on.gateway.call("enqueue", delayed)

    async def ended() -> bool:
        await on.publish("a", "late")
        left: int = valkey.execute("HLEN", "{iii}:queue:backlog:a#0:jobs")
        return left < 250

    await eventually(ended)
    assert (await on.stats("a"))["depth"] > 0
    await eventually(lambda: traces(valkey) == [])


async def test_messages_of_a_shard_that_began_lately_are_kept_a_while(
    on: Queues, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    retention = on.shards[0].module._retention
    assert retention is not None
    retention._grace = 3600.0
    await on.publish("a", 1)
    await eventually(lambda: retention._found)
    await asyncio.sleep(KEPT)
    assert (await on.stats("a"))["depth"] == 1
    on.shards[0].engine.ownership.take_away()
    await eventually(lambda: not retention._found)
    retention._grace = 0.0
    await asyncio.sleep(0.2)
    assert (await on.stats("a"))["depth"] == 1
    await on.shard(token=2)
    await eventually(lambda: traces(valkey) == [])


async def test_a_former_owner_ends_nothing(on: Queues, valkey: ValkeyServer) -> None:
    adapter = on.shards[0].module._adapter
    assert adapter is not None
    on.cluster.register("f", lambda _data: None)
    await on.subscribe(subscriber("t1", "a", "f", queue_config={"concurrency": 0}))
    await on.publish("a", 1)
    valkey.execute("SET", "{iii}:queue:sub:a@default@f#0:token", "7 1")
    on.cluster.drop("t1")
    await asyncio.sleep(2 * KEPT)
    assert (await on.stats("a"))["depth"] == 1
    on.shards[0].engine.ownership.take_away()
    await on.shard(token=8)
    await eventually(lambda: traces(valkey) == [])


async def test_without_a_limit_everything_is_kept(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, module={"group_retention_hours": 0}) as on:
        assert on.shards[0].module._retention is None
