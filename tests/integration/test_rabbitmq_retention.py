"""What nobody comes for any more is not kept for ever in a RabbitMQ either."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Queues, subscriber
from tests.support.rabbit_queues import MakeQueues, rabbit_queues
from tests.support.rabbitmq import RabbitServer
from tests.support.valkey import ValkeyServer

ATTENDED = "{iii}:queue:rabbitmq:attended"


@pytest.fixture
async def make(
    rabbitmq: RabbitServer, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MakeQueues]:
    monkeypatch.setattr("iii_cluster.modules.queue.retention.LOOK", 0.05)
    monkeypatch.setattr("iii_cluster.modules.queue.consumption.SLOW_TICK", 0.1)
    monkeypatch.setattr("iii_cluster.modules.queue.consumption.ATTEND", 0.2)
    async with rabbit_queues(valkey.url, rabbitmq.url) as made:
        yield made


async def fails_and_leaves(queues: Queues, topic: str) -> None:
    def broken(_data: Any) -> None:
        raise EngineError("broken", "")

    queues.cluster.register("f", broken)
    await queues.subscribe(subscriber("t1", topic, "f", queue_config={"maxRetries": 0}))
    await queues.publish(topic, 1)
    await eventually(lambda: queues.dead(topic))
    queues.cluster.drop("t1")


async def test_a_group_that_nobody_comes_back_to_ends_and_can_begin_anew(
    make: MakeQueues, valkey: ValkeyServer, unique: str
) -> None:
    queues = await make(module={"group_retention_hours": 1 / 3600})
    await fails_and_leaves(queues, unique)
    await eventually(lambda: not valkey.execute("ZCARD", ATTENDED))
    await eventually(lambda: not valkey.execute("SISMEMBER", "{iii}:queue:rabbitmq:topics", unique))
    assert await queues.dead(unique) == []
    seen: list[Any] = []
    queues.cluster.register("f", seen.append)
    await queues.subscribe(subscriber("t2", unique, "f"))
    await queues.publish(unique, 2)
    await eventually(lambda: seen == [2])


async def test_messages_that_no_group_comes_for_end_one_by_one(
    make: MakeQueues, valkey: ValkeyServer, unique: str
) -> None:
    queues = await make(module={"group_retention_hours": 1 / 3600})
    for number in range(5):
        await queues.publish(unique, number)

    async def ended() -> bool:
        await queues.publish(unique, "late")
        first = valkey.execute("ZSCORE", ATTENDED, f"backlog:{unique}")
        return bool(float(first or 0) > begin)

    begin = float(valkey.execute("ZSCORE", ATTENDED, f"backlog:{unique}"))
    await eventually(ended)
    assert (await queues.stats(unique))["depth"] > 0
    await eventually(lambda: not valkey.execute("ZCARD", ATTENDED))
    assert (await queues.stats(unique))["depth"] == 0
