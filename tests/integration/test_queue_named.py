"""Named queues: what is enqueued is called later, as often as configured, in order where that is promised."""

import asyncio
import itertools
import json
from typing import Any

import pytest

from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable
from tests.support.eventually import eventually
from tests.support.queues import Gate, queues
from tests.support.valkey import ValkeyServer

FIFO = {"type": "fifo", "message_group_field": "user"}
AWKWARD = ["a:b", "::", "a*b?[c]", "\0", "a\0b", "ünï ☃ 𝄞", "#0", "a#1", "%23", "@", "{tag}", " ", "x" * 1024]
# Not recorded, so it is passed on as it is.
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def failing(times: int, seen: list[Any]) -> Any:
    """A handler that fails so often for every job, then succeeds."""

    def handle(data: Any) -> None:
        seen.append(data)
        if seen.count(data) <= times:
            raise EngineError("flaky", f"attempt {seen.count(data)}")

    return handle


async def test_a_job_is_acknowledged_and_its_function_gets_the_data_once(valkey: ValkeyServer) -> None:
    seen: list[Any] = []
    async with queues(valkey.url) as on:
        on.cluster.register("mail::send", seen.append)
        data = {"to": "ana", "n": 12345678901234567890, "f": [1.5, None, {}], "é": "☃"}
        receipt = await on.enqueue("default", "mail::send", data)
        assert isinstance(receipt, str)
        await on.emptied("default")
        assert seen == [data]
        (call,) = [call for call in on.cluster.calls if call.function == "mail::send"]
        assert json.loads(call.data) == data
        assert call.metadata == b""


@pytest.mark.parametrize("data", [None, 0, False, "", [], {}, "text", [1, [2]]])
async def test_any_json_is_data(valkey: ValkeyServer, data: Any) -> None:
    seen: list[Any] = []
    async with queues(valkey.url) as on:
        on.cluster.register("f", seen.append)
        await on.enqueue("default", "f", data)
        await on.emptied("default")
        assert seen == [data]


async def test_the_same_receipt_is_the_same_job_also_after_it_is_done(valkey: ValkeyServer) -> None:
    seen: list[Any] = []
    async with queues(valkey.url, {"one": FIFO}) as on:
        on.cluster.register("f", seen.append)
        for queue in ("default", "one"):
            for _ in range(2):
                assert await on.enqueue(queue, "f", {"user": queue}, messageReceiptId="r1") == "r1"
            await on.emptied(queue)
            await on.enqueue(queue, "f", {"user": queue}, messageReceiptId="r1")
            await on.emptied(queue)
        assert [data["user"] for data in seen] == ["default", "one"]


@pytest.mark.parametrize("name", AWKWARD)
async def test_queues_and_groups_may_have_any_name(valkey: ValkeyServer, name: str) -> None:
    seen: list[Any] = []
    async with queues(valkey.url, {name: FIFO, "plain": FIFO}) as on:
        on.cluster.register(name, seen.append)
        for queue in (name, "plain"):
            for number in range(3):
                await on.enqueue(queue, name, {"user": name[:256], "n": number})
            await on.emptied(queue)
        assert [data["n"] for data in seen] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("queue", "data", "said"),
    [
        ("nowhere", {}, "queue 'nowhere' not found"),
        ("one", {"other": 1}, "user"),
        ("one", 5, "user"),
        ("one", {"user": None}, "null"),
    ],
)
async def test_what_cannot_be_enqueued_is_refused(valkey: ValkeyServer, queue: str, data: Any, said: str) -> None:
    async with queues(valkey.url, {"one": FIFO}) as on:
        with pytest.raises(EngineError, match=said) as refused:
            await on.enqueue(queue, "f", data)
        assert refused.value.code == "enqueue_error"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"queue": "default"},
        {"queue": 5, "function_id": "f"},
        {"queue": "default", "function_id": "f", "delay_ms": -1},
        {"queue": "default", "function_id": "f", "messageReceiptId": ""},
        {"queue": "default", "function_id": "f", "messageReceiptId": "x" * 300},
    ],
)
async def test_input_that_does_not_fit_fails_the_call(valkey: ValkeyServer, asked: dict[str, Any]) -> None:
    async with queues(valkey.url) as on:
        with pytest.raises(EngineError) as refused:
            await on.gateway.call("engine::queue::enqueue", asked)
        assert refused.value.code == "deserialization_error"


async def test_a_full_redis_refuses_jobs_and_says_so(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        valkey.execute("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(EngineError, match="maxmemory") as refused:
            await on.enqueue("default", "f", 1)
        assert refused.value.code == "enqueue_error"


async def test_a_redis_that_is_away_refuses_jobs_and_says_so(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with queues(valkey.url) as on:

        async def away(*_: Any, **__: Any) -> None:
            raise Unavailable("Redis cannot be reached", maybe=True)

        with monkeypatch.context() as patched:
            patched.setattr(on.gateway.engine.commands, "run", away)
            with pytest.raises(EngineError, match="may have been accepted") as refused:
                await on.enqueue("default", "f", 1)
        assert refused.value.code == "enqueue_error"


async def test_trace_context_travels_with_the_job(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        on.cluster.register("f", lambda _: None)
        trace = {"traceparent": UNSAMPLED, "baggage": "iii.function.id=x,user=ana,iii.tag.kind=y"}
        await on.enqueue("default", "f", 1, **trace)
        await on.emptied("default")
        (call,) = on.cluster.calls
        assert json.loads(call.traceparent) == UNSAMPLED
        assert json.loads(call.baggage) == "iii.function.id=f,user=ana"


async def test_a_job_runs_in_the_namespace_it_was_enqueued_for(valkey: ValkeyServer) -> None:
    async with queues(valkey.url) as on:
        here: list[Any] = []
        there: list[Any] = []
        on.cluster.register("f", here.append)
        on.cluster.register("f", there.append, "other")
        await on.enqueue("default", "f", 1, namespace="other")
        await on.enqueue("default", "f", 2, namespace=None)
        await on.emptied("default")
        assert (here, there) == ([2], [1])


# -- order and concurrency


async def test_a_standard_queue_runs_jobs_at_once_up_to_its_limit_and_apart_from_other_queues(
    valkey: ValkeyServer,
) -> None:
    async with queues(valkey.url, {"few": {"concurrency": 3}, "parts": {"concurrency": 5, "partitions": 4}}) as on:
        gates = {"few": Gate(), "parts": Gate(), "default": Gate()}
        for queue, gate in gates.items():
            on.cluster.register(queue, gate)
            for number in range(30):
                await on.enqueue(queue, queue, number)
        for queue, limit in (("few", 3), ("parts", 5), ("default", 10)):
            await gates[queue].holds(limit)
            assert (await on.stats(queue))["depth"] == 30
        gates["few"].let_go()
        await eventually(lambda: len(gates["few"].seen) == 6)
        for queue, gate in gates.items():
            while len(gate.seen) < 30 or gate.waiting:
                gate.let_go()
                await asyncio.sleep(0.01)
            await on.emptied(queue)
        assert [gates[queue].most for queue in gates] == [3, 5, 10]


async def test_a_concurrency_of_one_keeps_the_order(valkey: ValkeyServer) -> None:
    seen: list[Any] = []
    async with queues(valkey.url, {"one": {"concurrency": 1}}) as on:
        on.cluster.register("f", seen.append)
        for number in range(50):
            await on.enqueue("one", "f", number)
        await on.emptied("one")
        assert seen == list(range(50))


@pytest.mark.parametrize("partitions", [1, 3])
async def test_message_groups_keep_their_order_run_beside_each_other_and_wait_for_retries(
    valkey: ValkeyServer, partitions: int
) -> None:
    async with queues(valkey.url, {"one": {**FIFO, "backoff_ms": 5, "max_retries": 4, "partitions": partitions}}) as on:
        done: list[Any] = []
        running: set[str] = set()
        tries: dict[str, int] = {}

        async def handle(data: Any) -> None:
            assert data["user"] not in running
            running.add(data["user"])
            await asyncio.sleep(0)
            running.remove(data["user"])
            job = f"{data['user']}{data['n']}"
            tries[job] = tries.get(job, 0) + 1
            if data["n"] % 5 == 2 and tries[job] < 3:
                raise EngineError("flaky", "not yet")
            done.append(data)

        on.cluster.register("f", handle)
        for number in range(20):
            for user in ("ana", "bob", "eve"):
                await on.enqueue("one", "f", {"user": user, "n": number})
        await on.emptied("one")
        await eventually(lambda: len(done) == 60)
        for user in ("ana", "bob", "eve"):
            assert [data["n"] for data in done if data["user"] == user] == list(range(20))


async def test_a_message_group_that_is_stuck_does_not_hold_others(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"one": FIFO}) as on:
        stuck = Gate()
        free: list[Any] = []
        on.cluster.register("stuck", stuck)
        on.cluster.register("free", free.append)
        await on.enqueue("one", "stuck", {"user": "ana"})
        await on.enqueue("one", "free", {"user": "ana", "n": 1})
        await on.enqueue("one", "free", {"user": "bob"})
        await stuck.holds(1)
        await eventually(lambda: free == [{"user": "bob"}])
        stuck.let_go()
        await on.emptied("one")
        assert free == [{"user": "bob"}, {"user": "ana", "n": 1}]


async def test_a_handler_that_never_answers_is_given_up_and_its_group_goes_on(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"one": {**FIFO, "timeout_ms": 30, "max_retries": 1}}) as on:
        seen: list[Any] = []
        on.cluster.register("stuck", Gate())
        on.cluster.register("free", seen.append)
        await on.enqueue("one", "stuck", {"user": "ana"})
        await on.enqueue("one", "free", {"user": "ana"})
        await eventually(lambda: seen)
        await on.emptied("one")
        (dead,) = await on.dead("one")
        assert dead["error"].startswith("TIMEOUT")


async def test_a_handler_may_enqueue(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"other": {}}) as on:
        seen: list[Any] = []

        async def first(data: Any) -> None:
            await on.enqueue("other", "second", data + 1)

        on.cluster.register("first", first)
        on.cluster.register("second", seen.append)
        await on.enqueue("default", "first", 1)
        await eventually(lambda: seen == [2])


# -- failures


async def test_a_failing_job_is_repeated_as_often_as_configured_with_doubling_waits(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"max_retries": 4, "backoff_ms": 40}}) as on:
        times: list[float] = []

        def handle(_: Any) -> None:
            times.append(asyncio.get_running_loop().time())
            raise EngineError("broken", "always")

        on.cluster.register("f", handle)
        await on.enqueue("q", "f", 1)
        await eventually(lambda: len(times) == 4)
        await eventually(lambda: on.dead("q"))
        gaps = [after - before for before, after in itertools.pairwise(times)]
        # Redis counts whole milliseconds, and began to count a moment after the handler did.
        assert all(gap >= wait - 0.002 for gap, wait in zip(gaps, (0.04, 0.08, 0.16), strict=True))
        assert len(times) == 4


@pytest.mark.parametrize(("max_retries", "calls"), [(0, 1), (1, 1), (2, 2)])
async def test_what_fails_too_often_becomes_a_dead_letter(valkey: ValkeyServer, max_retries: int, calls: int) -> None:
    seen: list[Any] = []
    async with queues(valkey.url, {"q": {"max_retries": max_retries, "backoff_ms": 1}}) as on:
        on.cluster.register("f", failing(9, seen))
        receipt = await on.enqueue("q", "f", {"a": 1})
        (dead,) = await eventually(lambda: on.dead("q"))
        assert dead == {
            "id": receipt,
            "function_id": "f",
            "namespace": "default",
            "payload": {"a": 1},
            "error": f"flaky: attempt {calls}",
            "failed_at": dead["failed_at"],
            "retries": calls,
            "size_bytes": 8,
        }
        assert dead["failed_at"] > 1_600_000_000
        assert len(seen) == calls
        assert await on.stats("q") == {"depth": 0, "consumer_count": 10, "dlq_depth": 1, "config": None}


async def test_a_dead_letter_names_its_trace_if_that_is_recorded(valkey: ValkeyServer) -> None:
    async with queues(valkey.url, {"q": {"max_retries": 0}}) as on:
        on.cluster.register("f", failing(9, []))
        recorded = await on.enqueue("q", "f", 1, traceparent=UNSAMPLED[:-2] + "01")
        await on.enqueue("q", "f", 2, traceparent=UNSAMPLED)

        async def both() -> Any:
            letters = await on.dead("q")
            return letters if len(letters) == 2 else None

        letters = await eventually(both)
        traces = {letter["id"]: letter["trace_id"] for letter in letters if "trace_id" in letter}
        assert traces == {recorded: UNSAMPLED.split("-")[1]}


async def test_a_retried_job_goes_before_those_that_wait(valkey: ValkeyServer) -> None:
    seen: list[Any] = []
    async with queues(valkey.url, {"one": {"concurrency": 1, "backoff_ms": 0}}) as on:
        gate = Gate()
        on.cluster.register("gate", gate)
        on.cluster.register("f", failing(1, seen))
        await on.enqueue("one", "gate", 0)
        await gate.holds(1)
        for number in range(3):
            await on.enqueue("one", "f", number)
        gate.let_go()
        await on.emptied("one")
        assert seen == [0, 0, 1, 1, 2, 2]


async def test_a_missing_function_or_a_crash_fails_its_own_job_only(valkey: ValkeyServer) -> None:
    seen: list[Any] = []
    async with queues(valkey.url, {"one": {"concurrency": 1, "max_retries": 1}}) as on:
        on.cluster.register("f", seen.append)
        on.cluster.register("crash", lambda _: 1 / 0)
        for function in ("missing", "crash", "f"):
            await on.enqueue("one", function, function)
        await eventually(lambda: seen == ["f"])
        await on.emptied("one")
        errors = [dead["error"] for dead in await on.dead("one")]
        assert sorted(error.partition(":")[0] for error in errors) == ["function_not_found", "invocation_error"]


async def test_jobs_can_be_delayed_by_the_queue_and_by_the_sender(valkey: ValkeyServer) -> None:
    times: dict[Any, float] = {}
    async with queues(valkey.url, {"late": {"delay_ms": 60}, "one": FIFO}) as on:
        loop = asyncio.get_running_loop()
        on.cluster.register("f", lambda data: times.setdefault(data["n"], loop.time()))
        begin = loop.time()
        await on.enqueue("late", "f", {"n": 1})
        await on.enqueue("default", "f", {"n": 2}, delay_ms=60)
        await on.enqueue("one", "f", {"n": 3, "user": "ana"}, delay_ms=60)
        await on.enqueue("one", "f", {"n": 4, "user": "ana"})
        await on.enqueue("late", "f", {"n": 5}, delay_ms=0)
        await eventually(lambda: len(times) == 5)
        assert min(times[number] - begin for number in (1, 2, 3)) >= 0.058
        assert times[5] < times[1]
        assert times[3] < times[4]


async def test_a_delayed_job_runs_once_however_many_look_for_it(valkey: ValkeyServer) -> None:
    seen: list[Any] = []
    async with queues(valkey.url) as on:
        on.cluster.register("f", seen.append)
        await asyncio.gather(*(on.enqueue("default", "f", number, delay_ms=number % 7) for number in range(200)))
        await eventually(lambda: len(seen) >= 200)
        await on.emptied("default")
        assert sorted(seen) == list(range(200))


async def test_jobs_whose_nudge_was_lost_are_found(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.modules.queue.adapters.redis.consumer.POLL", 0.05)
    seen: list[Any] = []
    async with queues(valkey.url) as on:
        on.cluster.register("f", seen.append)
        monkeypatch.setattr(on.gateway.engine, "nudge", lambda _key: None)
        await on.enqueue("default", "f", 1)
        await eventually(lambda: seen == [1])
