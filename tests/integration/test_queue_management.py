"""Looking at queues and repairing them."""

from typing import Any

import pytest

from iii_cluster.protocol.errors import EngineError
from tests.support.eventually import eventually
from tests.support.queues import Gate, Queues, consumer, queues, subscriber
from tests.support.valkey import ValkeyServer

FIFO = {"type": "fifo", "message_group_field": "user", "max_retries": 1}
ONCE = {"max_retries": 1}
PARTS = {"max_retries": 1, "partitions": 3}


class Flaky:
    """A handler that fails until it is repaired."""

    def __init__(self) -> None:
        self.broken = True
        self.done: list[Any] = []

    def __call__(self, data: Any) -> None:
        if self.broken:
            raise EngineError("broken", "for now")
        self.done.append(data)


async def dead_letters(on: Queues, queue: str, count: int) -> tuple[Flaky, list[str]]:
    """Enqueues jobs that die; returns their handler and their ids, in order."""
    flaky = Flaky()
    on.cluster.register("f", flaky)
    ids = []
    for number in range(count):
        ids.append(await on.enqueue(queue, "f", {"user": f"u{number % 2}", "n": number}))

        async def died(most: int = number + 1) -> bool:
            return bool((await on.stats(queue))["dlq_depth"] == most)

        await eventually(died)
    return flaky, ids


@pytest.mark.parametrize("config", [ONCE, FIFO, PARTS])
async def test_redriven_jobs_begin_anew_the_oldest_first(valkey: ValkeyServer, config: dict[str, Any]) -> None:
    async with queues(valkey.url, {"q": config}) as on:
        flaky, _ids = await dead_letters(on, "q", 6)
        flaky.broken = False
        assert await on.gateway.call("iii::queue::redrive", {"queue": "q"}) == {"queue": "q", "redriven": 6}
        await on.emptied("q")
        assert sorted(data["n"] for data in flaky.done) == list(range(6))
        for user in ("u0", "u1"):
            numbers = [data["n"] for data in flaky.done if data["user"] == user]
            assert numbers == sorted(numbers) or config is PARTS
        assert await on.dead("q") == []
        assert await on.gateway.call("iii::queue::redrive", {"topic": "q"}) == {"queue": "q", "redriven": 0}


async def test_a_line_about_dead_jobs_names_queue_function_and_error_code(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with queues(valkey.url, {"q": ONCE}) as on:
        _flaky, (id,) = await dead_letters(on, "q", 1)
    (line,) = [line for line in caplog.messages if "action=job_dead" in line]
    assert line == f"action=job_dead queue='q' count=1 last={id} function='f' code='broken' attempts=1"


async def test_a_redriven_job_may_fail_again_and_be_redriven_again(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"max_retries": 2, "backoff_ms": 1}}) as on:
        flaky, (id,) = await dead_letters(on, "q", 1)
        for _ in range(2):
            await on.gateway.call("iii::queue::redrive", {"queue": "q"})
            (dead,) = await eventually(lambda: on.dead("q"))
            assert dead["retries"] == 2
        flaky.broken = False
        await on.gateway.call("iii::queue::redrive_message", {"queue": "q", "message_id": id})
        await on.emptied("q")
        assert len(flaky.done) == 1
        assert len({call.once for call in on.cluster.calls}) == len(on.cluster.calls) == 7


@pytest.mark.parametrize("config", [ONCE, FIFO, PARTS])
async def test_one_dead_letter_is_redriven_or_discarded(valkey: ValkeyServer, config: dict[str, Any]) -> None:
    async with queues(valkey.url, {"q": config}) as on:
        flaky, ids = await dead_letters(on, "q", 4)
        flaky.broken = False
        for function, id, count in (
            ("iii::queue::redrive_message", ids[1], 1),
            ("iii::queue::redrive_message", ids[1], 0),
            ("iii::queue::discard_message", ids[2], 1),
            ("iii::queue::discard_message", ids[2], 0),
            ("iii::queue::redrive_message", ids[2], 0),
            ("iii::queue::discard_message", "unknown", 0),
        ):
            said = await on.gateway.call(function, {"queue": "q", "message_id": id})
            assert said == {"queue": "q", "message_id": id, "redriven": count}
        await on.emptied("q")
        assert [data["n"] for data in flaky.done] == [1]
        assert {dead["id"] for dead in await on.dead("q")} == {ids[0], ids[3]}


async def test_a_job_that_waits_is_no_dead_letter(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"concurrency": 1}}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        first = await on.enqueue("q", "f", 1)
        second = await on.enqueue("q", "f", 2)
        await gate.holds(1)
        for id in (first, second):
            for function in ("redrive", "discard"):
                said = await on.gateway.call(f"iii::queue::{function}_message", {"queue": "q", "message_id": id})
                assert said["redriven"] == 0
        gate.let_go()
        await gate.holds(1)
        gate.let_go()
        await on.emptied("q")


@pytest.mark.parametrize("config", [ONCE, FIFO, PARTS])
async def test_dead_letters_are_read_in_pages_the_newest_first(valkey: ValkeyServer, config: dict[str, Any]) -> None:
    async with queues(valkey.url, {"q": config}) as on:
        _flaky, ids = await dead_letters(on, "q", 5)
        for _ in range(2):
            assert {dead["id"] for dead in await on.dead("q")} == set(ids)
        rows = await on.dead("q", offset=1, limit=2)
        assert [row["failed_at"] for row in rows] == sorted((row["failed_at"] for row in rows), reverse=True)
        pages = [row["id"] for offset in range(0, 6, 2) for row in await on.dead("q", offset=offset, limit=2)]
        assert sorted(pages) == sorted(ids)
        assert await on.dead("q", limit=0) == []
        assert await on.dead("q", offset=5) == []


async def test_a_page_has_fifty_dead_letters_unless_said_otherwise(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": ONCE}) as on:
        for number in range(60):
            await on.enqueue("q", "missing", number)
        await eventually(lambda: on.dead("q", offset=59))
        assert len(await on.dead("q")) == 50
        assert len(await on.dead("q", limit=100)) == 60


async def test_dead_letters_that_cannot_be_read_are_left_out(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": ONCE}) as on:
        _flaky, ids = await dead_letters(on, "q", 3)
        valkey.execute("HSET", "{iii}:queue:fn:q#0:jobs", ids[1], "rubbish")
        assert [dead["id"] for dead in await on.dead("q")] == [ids[2], ids[0]]
        await on.gateway.call("iii::queue::redrive_message", {"queue": "q", "message_id": ids[0]})


async def test_dead_letters_of_a_topic_are_those_of_all_its_groups(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        flaky = Flaky()
        for function in ("f", "g", "h"):
            on.cluster.register(function, flaky)
        how: dict[str, Any] = {"queue_config": {"maxRetries": 0}}
        await on.subscribe(subscriber("t1", "a", "f", **how))
        await on.subscribe(subscriber("t2", "a", "g", **how))
        await on.subscribe(consumer("t3", "a", "h", **how))
        await on.publish("a", 1)

        async def died() -> bool:
            return (await on.stats("a")) == {"depth": 0, "consumer_count": 3, "dlq_depth": 3, "config": None}

        await eventually(died)
        rows = await on.dead("a")
        assert len(rows) == 3
        listed = await on.gateway.call("engine::queue::dlq_topics", {})
        assert listed == [
            {"topic": "default", "broker_type": "function_queue", "message_count": 0},
            {"topic": "a", "broker_type": "redis", "message_count": 3},
        ]
        flaky.broken = False
        said = await on.gateway.call("iii::queue::redrive", {"queue": "a"})
        assert said == {"queue": "a", "redriven": 3}
        await on.emptied("a")
        assert flaky.done == [1, 1, 1]


async def test_a_configured_queue_hides_a_topic_of_its_name(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"a": {**ONCE, "concurrency": 7}}) as on:
        await on.publish("a", 1)
        await on.publish("b", 1)
        await on.subscribe(subscriber("t1", "c", "f"))
        rows = await on.gateway.call("engine::queue::list_topics", None)
        assert rows == [
            {"name": "default", "broker_type": "function_queue", "subscriber_count": 10},
            {"name": "a", "broker_type": "function_queue", "subscriber_count": 7},
            {"name": "b", "broker_type": "redis", "subscriber_count": 0},
            {"name": "c", "broker_type": "redis", "subscriber_count": 1},
        ]
        assert await on.stats("a") == {"depth": 0, "consumer_count": 7, "dlq_depth": 0, "config": None}
        assert (await on.stats("b"))["depth"] == 1
        assert await on.stats("never") == {"depth": 0, "consumer_count": 0, "dlq_depth": 0, "config": None}


@pytest.mark.parametrize(
    "config", [{"concurrency": 1}, {**FIFO, "concurrency": 1}, {"partitions": 2, "concurrency": 2}]
)
async def test_purging_deletes_what_waits_but_nothing_in_flight_and_no_dead_letters(
    valkey: ValkeyServer, config: dict[str, Any]
) -> None:
    async with queues(valkey.url, {"q": config}) as on:
        gate = Gate()
        on.cluster.register("f", gate)
        limit = config["concurrency"]
        for number in range(500):
            await on.enqueue("q", "f", {"user": f"u{number % 3}", "n": number})
        await on.enqueue("q", "f", {"user": "u1"}, delay_ms=100_000)
        await gate.holds(limit)
        said = await on.gateway.call("iii::queue::purge", {"queue": "q"})
        assert said == {"queue": "q", "purged": 501 - limit}
        assert (await on.stats("q"))["depth"] == limit
        gate.let_go()
        await on.emptied("q")
        assert len(gate.seen) == limit
        await on.enqueue("q", "f", {"user": "u0", "n": "next"})
        await gate.holds(1)
        assert await on.gateway.call("iii::queue::purge", {"queue": "never"}) == {"queue": "never", "purged": 0}


@pytest.mark.parametrize(
    ("function", "asked", "code"),
    [
        ("iii::queue::redrive", {"queue": ""}, "queue_not_set"),
        ("iii::queue::redrive", {"topic": ""}, "queue_not_set"),
        ("iii::queue::redrive", {}, "deserialization_error"),
        ("iii::queue::redrive", {"queue": 1}, "deserialization_error"),
        ("iii::queue::redrive_message", {"queue": "", "message_id": "x"}, "queue_not_set"),
        ("iii::queue::redrive_message", {"queue": "q", "message_id": ""}, "message_id_not_set"),
        ("iii::queue::redrive_message", {"queue": "q"}, "deserialization_error"),
        ("iii::queue::discard_message", {"queue": "", "message_id": "x"}, "queue_not_set"),
        ("iii::queue::discard_message", {"queue": "q", "message_id": ""}, "message_id_not_set"),
        ("iii::queue::purge", {"queue": ""}, "queue_not_set"),
        ("engine::queue::topic_stats", {"topic": ""}, "topic_required"),
        ("engine::queue::topic_stats", {}, "deserialization_error"),
        ("engine::queue::dlq_messages", {"queue": ""}, "topic_required"),
        ("engine::queue::dlq_messages", {"topic": "q", "offset": -1}, "deserialization_error"),
        ("engine::queue::dlq_messages", {"topic": "q", "limit": "all"}, "deserialization_error"),
    ],
)
async def test_input_that_makes_no_sense_is_refused(
    valkey: ValkeyServer, function: str, asked: dict[str, Any], code: str
) -> None:
    async with queues(valkey.url) as on:
        with pytest.raises(EngineError) as refused:
            await on.gateway.call(function, asked)
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("function", "asked"),
    [
        ("iii::queue::redrive", {"queue": "q"}),
        ("iii::queue::redrive_message", {"queue": "q", "message_id": "x"}),
        ("iii::queue::discard_message", {"queue": "q", "message_id": "x"}),
        ("iii::queue::purge", {"queue": "q"}),
        ("engine::queue::list_topics", {}),
        ("engine::queue::topic_stats", {"topic": "q"}),
        ("engine::queue::dlq_topics", {}),
        ("engine::queue::dlq_messages", {"topic": "q"}),
    ],
)
async def test_failures_of_redis_have_the_code_of_the_function(
    valkey: ValkeyServer, function: str, asked: dict[str, Any]
) -> None:
    async with queues(valkey.url) as on:
        valkey.execute("SET", "{iii}:queues:lanes", "no set")
        valkey.execute("SET", "{iii}:queues:topics", "no set")
        with pytest.raises(EngineError, match="wrong kind") as refused:
            await on.gateway.call(function, asked)
        assert refused.value.code == function.rpartition("::")[2] + "_failed"
