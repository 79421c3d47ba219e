"""Failed and dead jobs in a real RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Gate
from tests.support.rabbit_queues import MakeQueues, rabbit_queues
from tests.support.rabbitmq import RabbitServer
from tests.support.recorded import SPAN_ID, TRACEPARENT, Spans, context_of, said
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def make(rabbitmq: RabbitServer, valkey: ValkeyServer) -> AsyncIterator[MakeQueues]:
    async with rabbit_queues(valkey.url, rabbitmq.url) as made:
        yield made


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


async def test_redriving_while_somebody_browses_loses_nothing(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"max_retries": 0}})
    for n in range(20):
        await queues.enqueue(unique, "f", n)
    await eventually(lambda: queues.dead(unique, offset=19))
    seen: list[int] = []
    queues.cluster.register("f", seen.append)
    redrive = queues.gateway.call("iii::queue::redrive", {"queue": unique})
    again = queues.gateway.call("iii::queue::redrive", {"queue": unique})
    browsing = [queues.dead(unique) for _ in range(3)]
    one, two, *_pages = await asyncio.gather(redrive, again, *browsing)
    assert one["redriven"] + two["redriven"] == 20
    await eventually(lambda: len(seen) == 20)
    await queues.emptied(unique)
    assert sorted(seen) == list(range(20))


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


async def test_attempts_are_spans_in_one_trace_also_after_a_redrive(make: MakeQueues, unique: str) -> None:
    queues = await make({unique: {"max_retries": 1, "backoff_ms": 1}})
    broken = True

    def handle(_data: Any) -> None:
        if broken:
            raise EngineError("broken", "still")

    queues.cluster.register("f", handle)
    receipt = await queues.enqueue(unique, "f", 1, traceparent=TRACEPARENT, baggage="user=ana")
    await eventually(lambda: queues.dead(unique))
    broken = False
    asked = {"queue": unique, "message_id": receipt}
    await queues.gateway.call("iii::queue::redrive_message", asked)
    await eventually(lambda: len(queues.cluster.calls) == 3)
    spans = Spans(*(node.telemetry.spool for node in queues.cluster.nodes))
    await eventually(lambda: spans.under(SPAN_ID) == [f"fn_queue {unique}"] * 3)
    assert [said(span)["attempt"] for span in spans.all()] == ["1", "2", "1"]
    assert [call.traceparent for call in queues.cluster.calls] == [context_of(span) for span in spans.all()]
    assert {call.baggage for call in queues.cluster.calls} == {b'"user=ana"'}
