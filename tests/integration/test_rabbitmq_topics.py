"""Topics and their groups in a real RabbitMQ."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.modules.queue.adapters.rabbitmq.consumer import RabbitConsumer
from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Gate, consumer, subscriber
from tests.support.rabbit_queues import MakeQueues, rabbit_queues
from tests.support.rabbitmq import RabbitServer
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def make(rabbitmq: RabbitServer, valkey: ValkeyServer) -> AsyncIterator[MakeQueues]:
    async with rabbit_queues(valkey.url, rabbitmq.url) as made:
        yield made


async def test_each_function_gets_every_message_and_its_triggers_share(make: MakeQueues, unique: str) -> None:
    queues = await make()
    seen: dict[str, list[int]] = {"f": [], "g": [], "h": []}
    for name, into in seen.items():
        queues.cluster.register(name, into.append)
    queues.cluster.register("f", seen["h"].append, namespace="other")
    await queues.subscribe(subscriber("t1", unique, "f"))
    await queues.subscribe(subscriber("t2", unique, "f"))
    await queues.subscribe(subscriber("t3", unique, "g"))
    await queues.subscribe(subscriber("t4", unique, "f", namespace="other"))
    for n in range(10):
        await queues.publish(unique, n)
    await eventually(lambda: all(len(each) == 10 for each in seen.values()))
    await queues.emptied(unique)
    assert {name: sorted(each) for name, each in seen.items()} == {name: list(range(10)) for name in seen}
    await queues.unsubscribe(subscriber("t3", unique, "g"))
    await queues.publish(unique, 10)
    await eventually(lambda: len(seen["f"]) == 11)
    assert len(seen["g"]) == 10


async def test_queue_triggers_of_a_topic_share_its_messages(make: MakeQueues, unique: str) -> None:
    queues = await make()
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    queues.cluster.register("g", seen.append)
    await queues.subscribe(consumer("t1", unique, "f"))
    await queues.subscribe(consumer("t2", unique, "g"))
    for n in range(10):
        await queues.publish(unique, n)
    await eventually(lambda: len(seen) == 10)
    await queues.emptied(unique)
    assert sorted(seen) == list(range(10))
    assert {call.function for call in queues.cluster.calls} == {"f", "g"}


async def test_messages_without_a_group_wait_for_the_first_one(make: MakeQueues, unique: str) -> None:
    queues = await make()
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    for n in range(5):
        await queues.publish(unique, n)
    assert (await queues.stats(unique))["depth"] == 5
    assert unique in [row["name"] for row in await queues.gateway.call("engine::queue::list_topics", {})]
    await queues.subscribe(subscriber("t1", unique, "f", queue_config={"type": "fifo"}))
    await queues.publish(unique, 5)
    await eventually(lambda: len(seen) == 6)
    assert seen == list(range(6))


async def test_messages_wait_while_nobody_subscribes_for_their_group(make: MakeQueues, unique: str) -> None:
    queues = await make()
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    trigger = subscriber("t1", unique, "f")
    await queues.subscribe(trigger)
    await queues.publish(unique, 1)
    await eventually(lambda: seen == [1])
    queues.cluster.drop("t1")  # its worker is gone, it did not unsubscribe
    await queues.publish(unique, 2)
    await queues.subscribe(trigger)
    await eventually(lambda: seen == [1, 2])


async def test_a_subscriber_says_how_often_its_messages_are_tried(make: MakeQueues, unique: str) -> None:
    queues = await make()
    calls: list[str] = []

    def fail(data: Any) -> None:
        calls.append(data)
        raise EngineError("broken", "")

    queues.cluster.register("f", fail)
    queues.cluster.register("g", fail)
    how = {"backoffDelayMs": 1}
    await queues.subscribe(subscriber("t1", unique, "f", queue_config={"maxRetries": 1, **how}))
    await queues.subscribe(consumer("t2", unique, "g", queue_config=how))
    await queues.publish(unique, "x")
    await eventually(lambda: len(calls) == 5)
    rows = await eventually(lambda: queues.dead(unique, offset=0))
    await eventually(lambda: queues.dead(unique, offset=1))
    rows = await queues.dead(unique)
    assert sorted(row["retries"] for row in rows) == [2, 3]
    seen: list[str] = []
    queues.cluster.register("f", seen.append)
    queues.cluster.register("g", seen.append)
    assert (await queues.gateway.call("iii::queue::redrive", {"topic": unique}))["redriven"] == 2
    await eventually(lambda: seen == ["x", "x"])


async def test_more_attempts_or_less_are_settings_that_may_change(make: MakeQueues, unique: str) -> None:
    queues = await make()
    gate = Gate()
    queues.cluster.register("f", gate)
    few = consumer("t1", unique, "f", queue_config={"concurrency": 1})
    await queues.subscribe(few)
    for n in range(5):
        await queues.publish(unique, n)
    await gate.holds(1)
    await queues.subscribe(consumer("t1", unique, "f", queue_config={"concurrency": 4}))
    await gate.holds(4)
    assert sorted(gate.seen) == [0, 1, 2, 3]  # nobody was called again
    queues.cluster.drop("t1")
    gate.let_go()
    await queues.subscribe(few)
    await eventually(lambda: len(gate.seen) == 5)
    gate.let_go()


async def test_a_queue_is_served_on_whatever_goes_wrong_once(
    make: MakeQueues, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = await make()
    take = RabbitConsumer._take

    async def fails(*_arguments: Any) -> str:
        monkeypatch.setattr(RabbitConsumer, "_take", take)
        raise RuntimeError

    monkeypatch.setattr(RabbitConsumer, "_take", fails)
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    await queues.subscribe(subscriber("t1", unique, "f"))
    await queues.publish(unique, 1)
    await eventually(lambda: seen == [1])
    assert RabbitConsumer._take is take
