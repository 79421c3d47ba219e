"""What a RabbitMQ broker and its other clients see and do."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest

from iii_cluster.modules.queue.adapters.rabbitmq.names import names_of_named
from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Gate, subscriber
from tests.support.rabbit_queues import MakeQueues, rabbit_queues
from tests.support.rabbitmq import RabbitServer
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def make(rabbitmq: RabbitServer, valkey: ValkeyServer) -> AsyncIterator[MakeQueues]:
    async with rabbit_queues(valkey.url, rabbitmq.url) as made:
        yield made


@pytest.fixture
async def channel(rabbitmq: RabbitServer) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """The broker as another client sees it."""
    async with await aio_pika.connect(rabbitmq.url) as connection:
        yield await connection.channel()


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
    failed = await asyncio.gather(*(impatient.enqueue(unique, "f", 1) for _ in range(20)), return_exceptions=True)
    assert {error.code for error in failed if isinstance(error, EngineError)} == {"enqueue_error"}
    assert all("RabbitMQ cannot be reached" in str(error) for error in failed)
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
