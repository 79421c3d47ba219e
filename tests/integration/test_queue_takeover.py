"""Lanes change their owners, owners lose Redis: no job is lost, none runs beside itself."""

import asyncio
from typing import Any

import pytest

from iii_cluster.cluster.slots import SLOTS
from iii_cluster.modules.queue.adapters.redis.lane import LEASE
from iii_cluster.protocol.errors import EngineError
from tests.support.engine import FakeEngine
from tests.support.eventually import eventually
from tests.support.queues import Gate, Queues, queues, subscriber
from tests.support.valkey import ValkeyServer

FIFO = {"type": "fifo", "message_group_field": "user"}


async def hand_over(on: Queues, token: int = 2, *, told: bool = True) -> None:
    """A new shard owns everything; the old one knows it unless not `told`."""
    if told:
        on.shards[-1].engine.ownership.take_away()
    await on.shard(token)


@pytest.mark.parametrize("config", [{"concurrency": 3}, {**FIFO, "concurrency": 3}])
@pytest.mark.parametrize("told", [True, False])
async def test_a_new_owner_waits_for_what_is_under_way_and_takes_the_rest(
    valkey: ValkeyServer, config: dict[str, Any], told: bool
) -> None:
    async with queues(valkey.url, {"q": config}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        for number in range(9):
            await on.enqueue("q", "f", {"user": number % 3, "n": number})
        await gate.holds(3)
        await hand_over(on, told=told)
        await on.enqueue("q", "f", {"user": 0, "n": 9})
        await asyncio.sleep(0.1)
        assert len(gate.seen) == 3
        for count in (3, 3, 3, 1):
            await gate.holds(count)
            gate.let_go()
        await on.emptied("q")
        assert sorted(data["n"] for data in gate.seen) == list(range(10))
        assert gate.most == 3


async def test_a_new_owner_learns_how_deliveries_ended_meanwhile(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"backoff_ms": 1, "concurrency": 2}}) as on:
        calls: list[Any] = []
        gate = Gate()

        async def handle(data: Any) -> None:
            calls.append(data)
            await gate(data)
            if data == 1 and calls.count(1) == 1:
                raise EngineError("broken", "once")

        on.cluster.register("f", handle)
        await on.enqueue("q", "f", 0)
        await on.enqueue("q", "f", 1)
        await gate.holds(2)
        on.shards[0].engine.ownership.take_away()
        await eventually(lambda: not on.cluster.calls[0].done)
        gate.let_go()
        await eventually(lambda: all(call.ended for call in on.cluster.calls))
        await on.shard(token=2)
        await gate.holds(1)
        gate.let_go()
        await on.emptied("q")
        assert sorted(calls) == [0, 1, 1]


async def test_jobs_that_never_reached_a_handler_are_delivered_at_once(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        await on.enqueue("default", "f", 1)
        await gate.holds(1)
        on.shards[0].engine.ownership.take_away()
        on.cluster.deliveries.clear()  # no gateway has heard of it
        await on.shard(token=2)
        await gate.holds(2)
        gate.let_go()
        await on.emptied("default")


async def test_what_a_silent_gateway_may_serve_is_left_alone_until_its_lease_ends(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.adapters.redis.consumer.ADOPTION", 0.02)
    async with queues(valkey.url, {"q": {**FIFO, "concurrency": 2}}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        for user in (1, 1, 2, 3):
            await on.enqueue("q", "f", {"user": user})
        await gate.holds(2)
        on.cluster.deliveries.clear()
        on.cluster.forgotten_deliveries = True
        await hand_over(on)
        await asyncio.sleep(0.2)
        assert len(gate.seen) == 2
        on.cluster.forgotten_deliveries = False  # the silent one is known to be dead
        await gate.holds(4)
        assert [data["user"] for data in gate.seen].count(3) == 0
        gate.let_go()
        await gate.holds(2)
        gate.let_go()
        await on.emptied("q")


async def test_the_lease_of_an_unclear_job_ends(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.adapters.redis.consumer.ADOPTION", 0.02)
    monkeypatch.setattr("iii_cluster.modules.queue.adapters.redis.consumer.LEASE", 0.2)
    assert LEASE > 1
    async with queues(valkey.url) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        await on.enqueue("default", "f", 1)
        await gate.holds(1)
        on.cluster.deliveries.clear()
        on.cluster.forgotten_deliveries = True
        await hand_over(on)
        await gate.holds(2)
        gate.let_go()
        await on.emptied("default")


async def test_a_handler_that_hangs_is_not_waited_for_longer_by_a_new_owner(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"concurrency": 1, "backoff_ms": 1}}, handler_timeout=0.5) as on:
        on.shards[0].module._consumption._deliver["fn:q"].timeout = 60.0  # type: ignore[union-attr]
        gate = Gate()
        on.cluster.register("f", gate)
        await on.enqueue("q", "f", 1)
        await gate.holds(1)
        await hand_over(on)
        await gate.holds(2)  # the next attempt
        gate.waiting.pop(0)[1].set()  # too late: it does not end the second one
        await eventually(lambda: on.cluster.calls[0].ended is not None)
        assert (await on.stats("q"))["depth"] == 1
        gate.let_go()
        await on.emptied("q")
        assert await on.dead("q") == []


@pytest.mark.parametrize("where", ["invoke", "turned"])
async def test_a_lane_is_served_on_whatever_goes_wrong_once(
    valkey: ValkeyServer, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with queues(valkey.url, {"q": {"concurrency": 1, "backoff_ms": 1}}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        consumption: Any = on.shards[0].module._consumption
        target = on.shards[0].engine if where == "invoke" else consumption._lanes["fn:q#0"].consumer._core
        works = getattr(target, where)

        def fails(*_arguments: Any, **_more: Any) -> Any:
            monkeypatch.setattr(target, where, works)
            raise RuntimeError

        monkeypatch.setattr(target, where, fails)
        await on.enqueue("q", "f", 1)
        await gate.holds(1)
        gate.let_go()
        await on.emptied("q")
        assert gate.seen == [1]


async def test_deliveries_are_asked_for_again_whatever_goes_wrong_once(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.adapters.redis.consumer.ADOPTION", 0.02)
    async with queues(valkey.url, {"q": {"concurrency": 1}}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        await on.enqueue("q", "f", 1)
        await gate.holds(1)
        adopt = FakeEngine.adopt

        async def fails(*_arguments: Any) -> Any:
            monkeypatch.setattr(FakeEngine, "adopt", adopt)
            raise RuntimeError

        monkeypatch.setattr(FakeEngine, "adopt", fails)
        await hand_over(on)
        await eventually(lambda: FakeEngine.adopt is adopt)
        await on.enqueue("q", "f", 2)
        gate.let_go()
        await eventually(lambda: gate.seen == [1, 2])
        gate.let_go()
        await on.emptied("q")


async def test_a_former_owner_can_neither_take_nor_acknowledge(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"concurrency": 1}}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        await on.enqueue("q", "f", 1)
        await gate.holds(1)
        await hand_over(on, told=False)
        key = "{iii}:queue:fn:q#0:token"
        await eventually(lambda: str(valkey.execute("GET", key)).startswith("2 "))
        before = valkey.execute("ZRANGE", "{iii}:queue:fn:q#0:active", 0, -1)
        on.shards[0].engine.nudge("queue:fn:q#0")
        await on.enqueue("q", "f", 2)
        await asyncio.sleep(0.1)
        assert valkey.execute("ZRANGE", "{iii}:queue:fn:q#0:active", 0, -1) == before
        gate.let_go()
        await gate.holds(1)
        assert gate.seen == [1, 2]
        gate.let_go()
        await on.emptied("q")


async def test_a_shard_that_stops_tells_redis_what_it_knows(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        await on.enqueue("default", "f", 1)
        await gate.holds(1)
        gate.let_go()
        await asyncio.sleep(0)
        await on.shards[0].host.shutdown()
        await on.shard()
        await on.emptied("default")
        assert gate.seen == [1]


async def test_a_fenced_shard_stops_and_goes_on_when_it_is_no_longer(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"concurrency": 2}}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        for number in range(6):
            await on.enqueue("q", "f", number)
        await gate.holds(2)
        ownership = on.shards[0].engine.ownership
        ownership.fence()
        gate.let_go()
        await eventually(lambda: not gate.waiting)
        await asyncio.sleep(0.1)
        assert len(gate.seen) == 2
        ownership.fence(False)
        while len(gate.seen) < 6 or gate.waiting:
            gate.let_go()
            await asyncio.sleep(0.01)
        await on.emptied("q")
        assert sorted(gate.seen) == list(range(6))


@pytest.mark.parametrize(
    "config", [{"concurrency": 4}, {**FIFO, "concurrency": 4}, {"concurrency": 4, "partitions": 2}]
)
async def test_a_redis_that_comes_back_with_its_data_has_lost_and_repeated_nothing(
    tmp_path: Any, config: dict[str, Any]
) -> None:
    valkey = ValkeyServer(tmp_path, durable=True)
    valkey.start()
    try:
        async with queues(valkey.url, {"q": config}) as on:
            seen: list[Any] = []

            async def handle(data: Any) -> None:
                seen.append(data)
                await asyncio.sleep(0.002)

            on.cluster.register("f", handle)

            async def send(first: int) -> None:
                for number in range(first, 400, 4):
                    await on.enqueue("q", "f", {"user": first, "n": number})

            senders = [asyncio.create_task(send(first)) for first in range(4)]
            for _ in range(3):
                await asyncio.sleep(0.1)
                await asyncio.to_thread(valkey.restart)
            await asyncio.gather(*senders)
            await on.emptied("q")
            assert sorted(data["n"] for data in seen) == list(range(400))
            if "type" in config:
                for user in range(4):
                    assert [data["n"] for data in seen if data["user"] == user] == list(range(user, 400, 4))
    finally:
        valkey.close()


async def test_a_redis_that_lost_its_data_does_not_confuse_the_owner(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"concurrency": 2}}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        for number in range(4):
            await on.enqueue("q", "f", number)
        await gate.holds(2)
        valkey.execute("FLUSHALL")
        gate.let_go()
        await eventually(lambda: not gate.waiting)
        await on.enqueue("q", "f", 4)
        await gate.holds(1)
        gate.let_go()
        await on.emptied("q")


async def test_a_queue_that_is_divided_otherwise_or_became_fifo_keeps_its_jobs(valkey: ValkeyServer) -> None:
    seen: list[Any] = []
    async with queues(valkey.url, {"q": {"partitions": 4}}, shards=0) as on:
        for number in range(20):
            await on.enqueue("q", "f", {"user": 1, "n": number})
    async with queues(valkey.url, {"q": FIFO}) as on:
        on.cluster.register("f", seen.append)
        await on.enqueue("q", "f", {"user": 1, "n": 20})
        await on.emptied("q")
    assert sorted(data["n"] for data in seen) == list(range(21))


async def test_two_shards_serve_the_lanes_they_own(valkey: ValkeyServer) -> None:
    named = {f"q{number}": {"partitions": 2, "concurrency": 4} for number in range(5)}
    async with queues(valkey.url, named, shards=2) as on:
        seen: list[Any] = []
        on.cluster.register("f", seen.append)
        one, two = (shard.engine.ownership for shard in on.shards)
        one.take_away(range(SLOTS // 2))
        two.take_away(range(SLOTS // 2, SLOTS))
        await on.subscribe(subscriber("t1", "a", "f"))
        for number in range(100):
            await on.enqueue(f"q{number % 5}", "f", number)
        await on.publish("a", 100)
        for name in (*named, "a"):
            await on.emptied(name)
        assert sorted(seen) == list(range(101))
        lanes = [shard.module.describe()["lanes"] for shard in on.shards]
        assert sum(lanes) == 12
        assert all(lanes)


async def test_slots_that_move_to_and_fro_under_load_lose_and_repeat_nothing(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {**FIFO, "partitions": 3, "concurrency": 6}}, shards=2) as on:
        seen: list[Any] = []
        running: set[Any] = set()

        async def handle(data: Any) -> None:
            assert data["user"] not in running
            running.add(data["user"])
            assert len(running) <= 6
            await asyncio.sleep(0.001)
            seen.append(data)
            running.remove(data["user"])

        on.cluster.register("f", handle)
        on.shards[1].engine.ownership.take_away()

        async def send(user: int) -> None:
            for number in range(100):
                await on.enqueue("q", "f", {"user": user, "n": number})

        senders = [asyncio.create_task(send(user)) for user in range(10)]
        for token in range(2, 12):
            await asyncio.sleep(0.05)
            winner, loser = on.shards[token % 2], on.shards[(token + 1) % 2]
            loser.engine.ownership.take_away()
            winner.engine.ownership.give(range(SLOTS), token)
        await asyncio.gather(*senders)
        await on.emptied("q")
        for user in range(10):
            assert [data["n"] for data in seen if data["user"] == user] == list(range(100))


async def test_a_lane_that_redis_refuses_goes_on_when_it_is_repaired(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"concurrency": 1}}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        await on.enqueue("q", "f", 1)
        await gate.holds(1)
        key = "{iii}:queue:fn:q#0:delayed"
        valkey.execute("SET", key, "no sorted set")
        gate.let_go()
        await on.enqueue("q", "f", 2)
        await asyncio.sleep(0.1)
        assert gate.seen == [1]
        valkey.execute("DEL", key)
        await gate.holds(1)
        assert gate.seen == [1, 2]
        gate.let_go()
        await on.emptied("q")


async def test_big_jobs_are_taken_a_few_at_a_time(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"concurrency": 20}, "one": {**FIFO, "concurrency": 20}}) as on:
        sizes: list[int] = []
        on.cluster.register("f", lambda data: sizes.append(len(data["text"])))
        for queue in ("q", "one"):
            for number in range(10):
                await on.enqueue(queue, "f", {"user": number, "text": "x" * 2_000_000})
            await on.emptied(queue)
        assert sizes == [2_000_000] * 20
