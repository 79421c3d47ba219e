"""Queues and topics in a real RabbitMQ."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any

import aio_pika
import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.queue.adapters.rabbitmq.names import names_of_named
from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Gate, Queues, consumer, subscriber
from tests.support.rabbitmq import RabbitServer
from tests.support.valkey import ValkeyServer

MakeQueues = Callable[..., Awaitable[Queues]]


class RabbitQueues(Queues):
    """Waits for what the broker is told in the background."""

    async def subscribe(self, trigger: Trigger) -> None:
        await super().subscribe(trigger)
        await self.told()

    async def unsubscribe(self, trigger: Trigger) -> None:
        await super().unsubscribe(trigger)
        await self.told()

    async def told(self) -> None:
        groups = self.gateway.module._groups
        assert groups is not None
        await eventually(lambda: not groups._tasks)


@pytest.fixture
async def make(rabbitmq: RabbitServer, valkey: ValkeyServer) -> AsyncIterator[MakeQueues]:
    """Starts a gateway and shards with these queues."""
    made: list[Queues] = []

    async def start(
        named: dict[str, Any] | None = None, shards: int = 1, adapter: dict[str, Any] | None = None, **settings: Any
    ) -> Queues:
        queues = RabbitQueues(valkey.url, named, **settings)
        queues._config["adapter"] = {"name": "rabbitmq", "config": {"amqp_url": rabbitmq.url, **(adapter or {})}}
        made.append(queues)
        return await queues.start(shards)

    yield start
    for queues in made:
        await queues.close()


@pytest.fixture
async def channel(rabbitmq: RabbitServer) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """The broker as another client sees it."""
    async with await aio_pika.connect(rabbitmq.url) as connection:
        yield await connection.channel()


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


async def test_max_retries_are_repetitions_with_a_flat_delay_and_then_the_job_is_dead(
    make: MakeQueues, unique: str
) -> None:
    queues = await make({unique: {"max_retries": 3, "backoff_ms": 30}})
    times: list[float] = []

    def fail(_data: Any) -> None:
        times.append(asyncio.get_running_loop().time())
        raise EngineError("broken", "it is broken")

    queues.cluster.register("f", fail)
    receipt = await queues.enqueue(unique, "f", {"a": 1})
    [row] = await eventually(lambda: queues.dead(unique))
    assert len(times) == 4
    assert all(later - earlier >= 0.03 for earlier, later in pairwise(times))
    assert row["id"] == receipt
    assert row["payload"] == {"a": 1}
    assert row["retries"] == 4
    assert row["error"] == "broken: it is broken"
    assert row["failed_at"] > 1_600_000_000
    assert (await queues.stats(unique))["dlq_depth"] == 1


async def test_a_function_that_does_not_exist_fails_its_job_only(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"concurrency": 1, "max_retries": 0}})
    seen: list[Any] = []
    queues.cluster.register("f", seen.append)
    await queues.enqueue(unique, "nobody", 1)
    await queues.enqueue(unique, "f", 2)
    await eventually(lambda: seen == [2])
    [row] = await eventually(lambda: queues.dead(unique))
    assert row["error"].startswith("function_not_found")


async def test_dead_jobs_are_browsed_newest_first_and_stay(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"concurrency": 1, "max_retries": 0}})
    for n in range(5):
        await queues.enqueue(unique, "nobody", n)

    async def all_dead() -> bool:
        return bool((await queues.stats(unique))["dlq_depth"] == 5)

    await eventually(all_dead)
    assert [row["payload"] for row in await queues.dead(unique)] == [4, 3, 2, 1, 0]
    both = await asyncio.gather(queues.dead(unique, offset=1, limit=2), queues.dead(unique, offset=4))
    assert [[row["payload"] for row in rows] for rows in both] == [[3, 2], [0]]
    assert (await queues.stats(unique))["dlq_depth"] == 5


async def test_redriven_jobs_begin_anew(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"concurrency": 1, "max_retries": 0}})
    receipts = [await queues.enqueue(unique, "f", n) for n in range(4)]
    await eventually(lambda: queues.dead(unique, offset=3))
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    one = {"queue": unique, "message_id": receipts[2]}
    assert (await queues.gateway.call("iii::queue::redrive_message", one))["redriven"] == 1
    await eventually(lambda: seen == [2])
    assert (await queues.gateway.call("iii::queue::redrive_message", one))["redriven"] == 0
    gone = {"queue": unique, "message_id": receipts[0]}
    assert (await queues.gateway.call("iii::queue::discard_message", gone))["redriven"] == 1
    assert (await queues.gateway.call("iii::queue::redrive", {"queue": unique}))["redriven"] == 2
    await eventually(lambda: seen == [2, 1, 3])
    assert await queues.dead(unique) == []
    assert (await queues.gateway.call("iii::queue::redrive", {"queue": unique}))["redriven"] == 0


async def test_a_job_that_fails_again_after_it_was_redriven_is_tried_as_often_as_before(
    make: MakeQueues, unique: str
) -> None:
    queues = await make({unique: {"max_retries": 1, "backoff_ms": 1}})
    calls: list[Any] = []

    def fail(data: Any) -> None:
        calls.append(data)
        raise EngineError("broken", "")

    queues.cluster.register("f", fail)
    await queues.enqueue(unique, "f", 1)
    await eventually(lambda: queues.dead(unique))
    await queues.gateway.call("iii::queue::redrive", {"queue": unique})
    await eventually(lambda: len(calls) == 4)
    [row] = await eventually(lambda: queues.dead(unique))
    assert row["retries"] == 2


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


async def test_a_restart_of_the_broker_loses_no_job(make: MakeQueues, unique: str, rabbitmq: RabbitServer) -> None:
    queues = await make({unique: {"concurrency": 5}}, redis_outage_limit=60)
    impatient = await make({unique: {}}, shards=0, redis_outage_limit=0.1)
    seen: list[int] = []
    gate = Gate(seen.append)
    queues.cluster.register("f", gate)
    for n in range(20):
        await queues.enqueue(unique, "f", n)
    await gate.holds(5)
    rabbitmq.kill()
    putting = [asyncio.create_task(queues.enqueue(unique, "f", n)) for n in range(20, 40)]
    with pytest.raises(EngineError, match="RabbitMQ cannot be reached") as caught:
        await impatient.enqueue(unique, "f", 1)
    assert caught.value.code == "enqueue_error"
    with pytest.raises(EngineError, match="RabbitMQ cannot be reached"):
        await impatient.stats(unique)
    await asyncio.to_thread(rabbitmq.start)
    await asyncio.gather(*putting)
    while len(seen) < 40:
        gate.let_go()
        await asyncio.sleep(0.01)
    await queues.emptied(unique)
    assert sorted(seen) == list(range(40))
    assert gate.most == 5


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


async def test_purge_deletes_what_waits(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"concurrency": 1}})
    gate = Gate()
    queues.cluster.register("f", gate)
    for n in range(5):
        await queues.enqueue(unique, "f", n)
    await gate.holds(1)
    assert (await queues.gateway.call("iii::queue::purge", {"queue": unique}))["purged"] == 4
    gate.let_go()
    await queues.enqueue(unique, "f", 9)
    await eventually(lambda: gate.seen == [0, 9])
    gate.let_go()


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


async def test_messages_have_the_names_and_headers_that_others_expect(
    make: MakeQueues, unique: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    queues = await make({unique: {}}, shards=0)
    data = {"queue": unique, "function_id": "f", "data": {"a": 1}, "messageReceiptId": "r-1", "namespace": "ns"}
    trace = {"traceparent": "00-1-2-03", "baggage": "k=v"}
    await queues.gateway.call("engine::queue::enqueue", {**data, **trace})
    named = await channel.get_queue(f"iii.__fn_queue::{unique}.queue")
    message = await named.get()
    assert json.loads(message.body) == {"a": 1}
    assert message.message_id == "r-1"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    expected = {"function_id": "f", "namespace": "ns", "x-attempt": 0, **trace}
    assert {key: message.headers[key] for key in expected} == expected
    await message.ack()
    await queues.subscribe(subscriber("t1", unique, "orders::ship"))
    await queues.publish(unique, [1])
    topic = await channel.get_queue(f"iii.{unique}.orders::ship@default.queue")
    message = await topic.get()
    assert message.body == b"[1]"
    assert message.headers["x-iii-attempts"] == 0
    assert message.headers["x-iii-max-attempts"] == 3
    assert message.headers["x-iii-job-id"] == message.message_id
    await message.ack()


async def test_what_another_client_puts_into_a_queue_is_served(
    make: MakeQueues, unique: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    names = names_of_named(unique)
    await channel.declare_queue(names.queue, durable=True)
    headers: dict[str, Any] = {"function_id": "f", "x-attempt": "odd", "baggage": 7}
    await channel.default_exchange.publish(aio_pika.Message(b"17", headers=headers), routing_key=names.queue)
    queues = await make({unique: {}})
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    await eventually(lambda: seen == [17])


async def test_a_queue_that_somebody_made_otherwise_is_used_as_it_is(
    make: MakeQueues, unique: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    names = names_of_named(unique)
    await channel.declare_queue(names.queue, durable=True, arguments={"x-max-length": 1000})
    await channel.default_exchange.publish(
        aio_pika.Message(b"1", headers={"function_id": "f"}), routing_key=names.queue
    )
    await channel.declare_queue(names.retry_queue, durable=True)
    queues = await make({unique: {"backoff_ms": 5}})
    calls: list[int] = []

    def first_fails(data: int) -> None:
        calls.append(data)
        if len(calls) == 1:
            raise EngineError("broken", "")

    queues.cluster.register("f", first_fails)
    await eventually(lambda: calls == [1, 1])
    await queues.enqueue(unique, "f", 2)
    await eventually(lambda: calls == [1, 1, 2])


async def test_odd_names_are_kept_apart(make: MakeQueues, unique: str) -> None:
    odd = [unique + end for end in ("", "::retry", "*", "#", "ü", "\0", " ", "x" * 300, "x" * 301, ".queue")]
    queues = await make({name: {} for name in odd})
    seen: list[Any] = []
    queues.cluster.register("f", seen.append)
    for name in odd:
        await queues.enqueue(name, "f", name)
    await eventually(lambda: len(seen) == len(odd))
    assert sorted(seen) == sorted(odd)


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


async def test_a_queue_deleted_under_its_consumer_is_made_anew(
    make: MakeQueues, unique: str, channel: aio_pika.abc.AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.adapters.rabbitmq.consumer.LOOK", 0.05)
    queues = await make({unique: {}})
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    await queues.enqueue(unique, "f", 1)
    await eventually(lambda: seen == [1])
    await channel.queue_delete(names_of_named(unique).queue)
    await queues.enqueue(unique, "f", 2)
    await eventually(lambda: seen == [1, 2])


def _longer(seen: list[Any], count: int) -> bool:
    return len(seen) >= count
