"""Topics: every group of subscribers gets each message once, now or when somebody is there."""

import asyncio
import json
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.queue.adapters.redis.adapter import RedisAdapter
from iii_cluster.modules.queue.consumption import Consumption
from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Gate, Queues, consumer, queues, subscriber
from tests.support.valkey import ValkeyServer

PUBLISHERS = ["enqueue", "iii::durable::publish"]


def record(on: Queues, *functions: str, namespace: str = "default") -> dict[str, list[Any]]:
    """Functions that keep what they get."""
    seen: dict[str, list[Any]] = {function: [] for function in functions}
    for function, got in seen.items():
        on.cluster.register(function, got.append, namespace)
    return seen


@pytest.mark.parametrize("publish", PUBLISHERS)
@pytest.mark.parametrize("data", [None, 0, "text", [1], {"a": [1.5, {}]}])
async def test_a_subscriber_gets_exactly_the_data(valkey: ValkeyServer, publish: str, data: Any) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f")
        await on.subscribe(subscriber("t", "orders", "f"))
        assert await on.gateway.call(publish, {"topic": "orders", "data": data, "messageGroupId": "x"}) is None
        await eventually(lambda: seen["f"] == [data])


@pytest.mark.parametrize("publish", PUBLISHERS)
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"topic": "", "data": 1}, "topic_not_set"),
        ({"topic": "t"}, "deserialization_error"),
        ({"data": 1}, "deserialization_error"),
        ({"topic": 5, "data": 1}, "deserialization_error"),
        ({"topic": "x" * 1025, "data": 1}, "publish_failed"),
        (5, "deserialization_error"),
    ],
)
async def test_what_cannot_be_published_is_refused(valkey: ValkeyServer, publish: str, asked: Any, code: str) -> None:
    async with queues(valkey.url) as on:
        with pytest.raises(EngineError) as refused:
            await on.gateway.call(publish, asked)
        assert refused.value.code == code


async def test_every_function_gets_each_message_and_triggers_of_one_function_share(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f", "g")
        for trigger in (subscriber("t1", "a", "f"), subscriber("t2", "a", "f"), subscriber("t3", "a", "g")):
            await on.subscribe(trigger)
        for number in range(20):
            await on.publish("a", number)
        await on.emptied("a")
        assert sorted(seen["f"]) == sorted(seen["g"]) == list(range(20))


async def test_groups_that_redis_has_forgotten_get_what_is_published_all_the_same(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f", "g")
        for trigger in (subscriber("t1", "a", "f"), subscriber("t2", "a", "g")):
            await on.subscribe(trigger)
        await on.publish("a", 1)
        await eventually(lambda: seen == {"f": [1], "g": [1]})
        valkey.execute("FLUSHALL")
        await on.publish("a", 2)
        await eventually(lambda: seen == {"f": [1, 2], "g": [1, 2]})


async def test_queue_triggers_share_the_messages_of_a_topic_also_between_functions(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f", "g", "durable")
        for trigger in (consumer("t1", "a", "f"), consumer("t2", "a", "g"), subscriber("t3", "a", "durable")):
            await on.subscribe(trigger)
        for number in range(20):
            await on.publish("a", number)
        await on.emptied("a")
        assert sorted(seen["f"] + seen["g"]) == sorted(seen["durable"]) == list(range(20))
        assert seen["f"]
        assert seen["g"]


async def test_the_same_function_in_two_namespaces_has_two_queues(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        one, two = record(on, "f", namespace="n@1"), record(on, "f", namespace="n")
        await on.subscribe(subscriber("t1", "a", "f", namespace="n@1"))
        await on.subscribe(subscriber("t2", "a", "f", namespace="n"))
        await on.publish("a", 1)
        await on.emptied("a")
        assert one["f"] == two["f"] == [1]


@pytest.mark.parametrize("name", ["a:b", "::", "*", "a?[x]", "\0", "ünï ☃ 𝄞", "#0", "%23", "@", "{t}", " ", "x" * 1024])
async def test_topics_and_functions_may_have_any_name(valkey: ValkeyServer, name: str) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, name, "other")
        await on.subscribe(subscriber("t1", name, name))
        await on.subscribe(subscriber("t2", "b", "other"))
        await on.publish(name, 1)
        await on.emptied(name)
        assert seen == {name: [1], "other": []}
        listed = await on.gateway.call("engine::queue::list_topics", {})
        assert {row["name"] for row in listed} == {"default", name, "b"}


async def test_messages_without_a_subscriber_wait_for_the_first_group(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f", "g")
        for number in range(1200):
            await on.publish("a", number)
        assert (await on.stats("a"))["depth"] == 1200
        await on.subscribe(subscriber("t1", "a", "f", queue_config={"type": "fifo"}))
        await on.emptied("a")
        assert seen["f"] == list(range(1200))
        await on.subscribe(subscriber("t2", "a", "g"))
        await on.publish("a", -1)
        await on.emptied("a")
        assert seen["g"] == [-1]


async def test_a_group_keeps_its_messages_while_its_worker_is_away(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f", "g")
        trigger = subscriber("t1", "a", "f")
        await on.subscribe(trigger)
        await on.subscribe(subscriber("t2", "a", "g"))
        await on.publish("a", 1)
        await on.emptied("a")
        on.cluster.drop("t1")  # its connection is lost
        await on.publish("a", 2)
        await eventually(lambda: seen["g"] == [1, 2])
        assert (await on.stats("a"))["depth"] == 1
        assert seen["f"] == [1]
        await on.subscribe(subscriber("t3", "a", "f"))
        await on.emptied("a")
        assert seen["f"] == [1, 2]


async def test_a_group_ends_with_the_last_trigger_that_is_taken_back_and_keeps_its_jobs(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "g")
        gate = Gate()
        on.cluster.register("f", gate)
        triggers = [subscriber(f"t{number}", "a", "f", queue_config={"concurrency": 1}) for number in range(2)]
        for trigger in (*triggers, subscriber("g", "a", "g")):
            await on.subscribe(trigger)
        await on.publish("a", 1)
        await on.publish("a", 2)
        await gate.holds(1)
        await on.unsubscribe(triggers[0])
        await on.publish("a", 3)
        await on.unsubscribe(triggers[1])
        await eventually(lambda: len(valkey.execute("SMEMBERS", "{iii}:queues:subscribers:a")) == 1)
        await on.publish("a", 4)
        gate.let_go()
        await eventually(lambda: seen["g"] == [1, 2, 3, 4])
        assert gate.seen == [1]
        await on.subscribe(subscriber("t9", "a", "f"))
        await gate.holds(2)
        assert gate.seen == [1, 2, 3]
        gate.let_go()
        await on.emptied("a")


async def test_without_any_group_left_messages_wait_again(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f", "g")
        trigger = subscriber("t1", "a", "f")
        await on.subscribe(trigger)
        await on.publish("a", 1)
        await on.emptied("a")
        await on.unsubscribe(trigger)
        await eventually(lambda: not valkey.execute("EXISTS", "{iii}:queues:subscribers:a"))
        await on.publish("a", 2)
        await on.subscribe(subscriber("t2", "a", "g"))
        await on.emptied("a")
        assert seen == {"f": [1], "g": [2]}


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
async def test_a_condition_that_says_no_acknowledges_the_message(valkey: ValkeyServer, key: str) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f", "g")
        on.cluster.register("even", lambda data: data % 2 == 0)
        await on.subscribe(subscriber("t1", "a", "f", **{key: "even"}))
        await on.subscribe(subscriber("t2", "a", "g"))
        for number in range(4):
            await on.publish("a", number)
        await on.emptied("a")
        assert sorted(seen["f"]) == [0, 2]
        assert sorted(seen["g"]) == [0, 1, 2, 3]


async def test_a_condition_that_fails_is_a_failed_attempt(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen = record(on, "f")
        asked: list[Any] = []

        def condition(data: Any) -> bool:
            asked.append(data)
            if len(asked) == 1:
                raise EngineError("broken", "once")
            return True

        on.cluster.register("condition", condition)
        how = {"backoffDelayMs": 1}
        await on.subscribe(subscriber("t1", "a", "f", condition_function_id="condition", queue_config=how))
        await on.publish("a", 1)
        await eventually(lambda: seen["f"] == [1])
        assert asked == [1, 1]


async def test_metadata_and_trace_context_are_passed_on(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        record(on, "f")
        body = b'{"topic":"a"}'
        await on.subscribe(Trigger("t1", "durable:subscriber", "f", body, b'{"team":"x"}'))
        asked = {"topic": "a", "data": 1}
        unsampled = b'"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"'
        await on.gateway.call("enqueue", asked, traceparent=unsampled, baggage=b'"user=ana,iii.tag.kind=x"')
        await on.emptied("a")
        (call,) = [call for call in on.cluster.calls if call.function == "f"]
        assert json.loads(call.metadata) == {"team": "x"}
        assert (call.traceparent, call.baggage) == (unsampled, b'"user=ana"')


@pytest.mark.parametrize(("how", "calls"), [({"maxRetries": 3}, 4), ({}, 3), ({"maxRetries": 0}, 1)])
async def test_subscribers_say_how_often_a_message_is_repeated(
    valkey: ValkeyServer, how: dict[str, int], calls: int
) -> None:
    async with queues(valkey.url) as on:
        seen: list[Any] = []

        def broken(data: Any) -> None:
            seen.append(data)
            raise EngineError("broken", "always")

        on.cluster.register("f", broken)
        await on.publish("a", 1)  # before anybody has said how
        await on.subscribe(subscriber("t1", "a", "f", queue_config={"backoffDelayMs": 1, **how}))
        (dead,) = await eventually(lambda: on.dead("a"))
        assert len(seen) == calls == dead["retries"]
        assert dead["error"] == "broken: always"


async def test_a_fifo_topic_waits_for_a_failing_message(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        seen: list[Any] = []

        def flaky(data: Any) -> None:
            seen.append(data)
            if data == 2 or (data == 1 and seen.count(1) < 3):
                raise EngineError("broken", "again")

        on.cluster.register("f", flaky)
        how = {"type": "fifo", "backoffDelayMs": 5, "maxRetries": 2}
        await on.subscribe(subscriber("t1", "a", "f", queue_config=how))
        for number in range(4):
            await on.publish("a", number)
        await eventually(lambda: 3 in seen)
        assert seen == [0, 1, 1, 1, 2, 2, 2, 3]


async def test_a_subscriber_may_pause_and_go_on(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        await on.subscribe(subscriber("t1", "a", "f"))
        await on.publish("a", 1)
        await gate.holds(1)
        await on.subscribe(subscriber("t1", "a", "f", queue_config={"concurrency": 0}))
        await asyncio.sleep(0.1)  # the shard gathers changes of triggers that come close together
        await on.publish("a", 2)
        gate.let_go()
        await eventually(lambda: not gate.waiting)
        await asyncio.sleep(0.1)
        assert gate.seen == [1]
        await on.subscribe(subscriber("t1", "a", "f", queue_config={"concurrency": 5}))
        await gate.holds(1)
        gate.let_go()
        await on.emptied("a")


async def test_a_group_that_no_gateway_told_of_is_found_by_its_shard(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.consumption.SLOW_TICK", 0.1)
    async with queues(valkey.url) as on:
        seen = record(on, "f")
        on.cluster.put(subscriber("t1", "a", "f"))  # its gateway died right after
        await on.publish("a", 1)
        await eventually(lambda: seen["f"] == [1])


async def test_a_trigger_that_was_taken_back_and_came_again_elsewhere_counts_as_any_other(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.groups.PATIENCE", 0.05)
    async with queues(valkey.url) as on:
        record(on, "f")
        trigger = subscriber("t1", "a", "f")
        await on.subscribe(trigger)
        on.gateway.host.types[trigger.type].unregistered(trigger)  # type: ignore[misc]  # and at once registered again
        await asyncio.sleep(0.1)
        on.cluster.drop("t1")  # much later its connection is lost
        await asyncio.sleep(0.1)
        assert valkey.execute("SCARD", "{iii}:queues:subscribers:a") == 1


@pytest.mark.parametrize("where", ["_reconcile", "_ensure"])
async def test_a_shard_looks_again_whatever_goes_wrong_once(
    valkey: ValkeyServer, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.consumption.SLOW_TICK", 0.05)
    async with queues(valkey.url) as on:
        seen = record(on, "f")
        works = getattr(Consumption, where)

        def fails(*_arguments: Any) -> None:
            monkeypatch.setattr(Consumption, where, works)
            raise RuntimeError

        monkeypatch.setattr(Consumption, where, fails)
        await eventually(lambda: "action=queue_look_failed" in caplog.text)
        on.cluster.put(subscriber("t1", "a", "f"))
        await on.publish("a", 1)
        await eventually(lambda: seen["f"] == [1])


async def test_a_group_is_told_of_again_whatever_goes_wrong_once(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.groups.RETRY", 0.01)
    async with queues(valkey.url) as on:
        seen = record(on, "f")
        subscribe = RedisAdapter.subscribe

        async def fails(*_arguments: Any) -> None:
            monkeypatch.setattr(RedisAdapter, "subscribe", subscribe)
            raise RuntimeError

        monkeypatch.setattr(RedisAdapter, "subscribe", fails)
        await on.subscribe(subscriber("t1", "a", "f"))
        await on.publish("a", 1)
        await eventually(lambda: seen["f"] == [1])
