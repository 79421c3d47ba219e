"""Queues over the wire: enqueued at one gateway, handled at another, owned by whichever shard."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.queues import queue_environment
from tests.support.raw import CallFailed, Frame, RawWorker, known, raw_worker

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

ENVIRONMENT = queue_environment(
    {
        "quick": {"backoff_ms": 20, "max_retries": 3},
        "once": {"max_retries": 1},
        "one": {"concurrency": 1},
        "few": {"concurrency": 3, "partitions": 2},
        "groups": {"type": "fifo", "message_group_field": "user", "backoff_ms": 20, "partitions": 2},
        "short": {"timeout_ms": 200, "max_retries": 1},
    }
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two gateways and two shards."""
    cluster = Cluster(tmp_path_factory.mktemp("queues"), env=ENVIRONMENT)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
async def sender(cluster: Cluster) -> AsyncIterator[RawWorker]:
    """On the first gateway."""
    async with raw_worker(cluster.gateways[0].url, name="sender") as worker:
        yield worker


@pytest.fixture
async def handler(cluster: Cluster) -> AsyncIterator[RawWorker]:
    """On the second gateway."""
    async with raw_worker(cluster.gateways[1].url, name="handler") as worker:
        yield worker


class Served:
    """A function that keeps the frames it got; `broken` decides which of them fail."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.broken = False

    def __call__(self, frame: Frame) -> Any:
        self.frames.append(frame)
        return CallFailed({"code": "broken", "message": "for now"}) if self.broken else None

    @property
    def data(self) -> list[Any]:
        return [frame["data"] for frame in self.frames]


async def serve(worker: RawWorker, function: str, asking: RawWorker) -> Served:
    served = Served()
    await worker.register(function, served)
    await known(asking, function)
    return served


async def enqueue(worker: RawWorker, queue: str, function: str, data: Any, **fields: Any) -> Any:
    return await worker.call(function, data, action={"type": "enqueue", "queue": queue}, **fields)


async def subscribe(worker: RawWorker, asking: RawWorker, id: str, type: str, function: str, config: Any) -> None:
    """Returns when the trigger is live."""
    await worker.send("registertrigger", id=id, trigger_type=type, function_id=function, config=config)

    async def listed() -> bool:
        rows = (await asking.call("engine::registered-triggers::list", {}))["registered_triggers"]
        return id in {row["id"] for row in rows}

    await eventually(listed)


async def depth(worker: RawWorker, name: str) -> int:
    said: dict[str, int] = await worker.call("engine::queue::topic_stats", {"topic": name})
    return said["depth"]


async def test_a_job_gets_a_receipt_and_reaches_its_function_once(
    sender: RawWorker, handler: RawWorker, unique: str
) -> None:
    served = await serve(handler, unique, sender)
    data = {"to": "ana", "n": 12345678901234567890, "é": ["☃", None]}
    said = await enqueue(sender, "default", unique, data, traceparent=TRACEPARENT, baggage="user=ana")
    assert list(said) == ["messageReceiptId"]
    assert isinstance(said["messageReceiptId"], str)
    await eventually(lambda: served.frames)
    (frame,) = served.frames
    assert frame["data"] == data
    assert frame["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]
    assert frame["baggage"] == "user=ana"
    assert "metadata" not in frame


async def test_without_an_invocation_id_nothing_is_answered_but_the_job_runs(
    sender: RawWorker, handler: RawWorker, unique: str
) -> None:
    served = await serve(handler, unique, sender)
    await sender.send("invokefunction", function_id=unique, data=1, action={"type": "enqueue", "queue": "default"})
    await sender.send("invokefunction", function_id=unique, data=2, action={"type": "void"})
    await eventually(lambda: sorted(served.data) == [1, 2])
    await sender.nothing("invocationresult")


@pytest.mark.parametrize(
    ("queue", "data", "said"),
    [("nowhere", {}, "not found"), ("groups", {}, "user"), ("groups", {"user": None}, "null")],
)
async def test_what_cannot_be_enqueued_is_refused(sender: RawWorker, queue: str, data: Any, said: str) -> None:
    with pytest.raises(CallFailed, match=said) as failed:
        await enqueue(sender, queue, "f", data)
    assert failed.value.code == "enqueue_error"


async def test_a_worker_may_call_the_provider_itself(sender: RawWorker, handler: RawWorker, unique: str) -> None:
    served = await serve(handler, unique, sender)
    asked = {"queue": "default", "function_id": unique, "data": 5, "messageReceiptId": unique}
    for _ in range(2):
        assert await sender.call("engine::queue::enqueue", asked) == {"messageReceiptId": unique}
    await eventually(lambda: served.frames)
    assert served.data == [5]


async def test_many_jobs_arrive_once_each_and_a_concurrency_of_one_keeps_their_order(
    sender: RawWorker, handler: RawWorker, unique: str
) -> None:
    served = await serve(handler, unique, sender)
    for number in range(200):
        await enqueue(sender, "one", unique, number)
    await eventually(lambda: len(served.frames) >= 200)
    assert served.data == list(range(200))


async def test_message_groups_keep_their_order_through_failures(
    cluster: Cluster, sender: RawWorker, handler: RawWorker, unique: str
) -> None:
    done: list[Any] = []
    failed: set[str] = set()

    def handle(frame: Frame) -> Any:
        data = frame["data"]
        key = json.dumps(data)
        if data["n"] % 7 == 3 and key not in failed:
            failed.add(key)
            return CallFailed({"code": "broken", "message": "once"})
        done.append(data)
        return None

    await handler.register(unique, handle)
    await known(sender, unique)
    for number in range(30):
        for user in ("ana", "bob", 7):
            await enqueue(sender, "groups", unique, {"user": user, "n": number})
    await eventually(lambda: len(done) >= 90)
    for user in ("ana", "bob", 7):
        assert [data["n"] for data in done if data["user"] == user] == list(range(30))
    assert len(failed) == 12


async def test_the_limit_of_a_queue_holds_for_all_gateways_and_shards(
    cluster: Cluster, sender: RawWorker, handler: RawWorker, unique: str
) -> None:
    async with raw_worker(cluster.gateways[0].url, name="second") as second:
        for worker in (handler, second):
            await worker.register(unique)
        await known(sender, unique)
        for number in range(12):
            await enqueue(sender, "few", unique, number)
        waiting: list[tuple[RawWorker, Frame]] = []

        def calls() -> int:
            for worker in (handler, second):
                for frame in [frame for frame in worker.frames if frame["type"] == "invokefunction"]:
                    worker.frames.remove(frame)
                    waiting.append((worker, frame))
            return len(waiting)

        seen: list[Any] = []
        while len(seen) < 12:
            await eventually(lambda: calls() > 0)
            await asyncio.sleep(0.05)
            assert calls() <= 3
            worker, frame = waiting.pop(0)
            seen.append(frame["data"])
            await worker.answer(frame)
        assert sorted(seen) == list(range(12))


async def test_dead_letters_are_read_and_redriven(sender: RawWorker, handler: RawWorker, unique: str) -> None:
    served = await serve(handler, unique, sender)
    served.broken = True
    receipt = (await enqueue(sender, "quick", unique, {"k": unique}))["messageReceiptId"]
    await eventually(lambda: len(served.frames) == 3)

    async def dead() -> list[Any]:
        rows = await sender.call("engine::queue::dlq_messages", {"queue": "quick", "limit": 500})
        return [row for row in rows if row["id"] == receipt]

    (row,) = await eventually(dead)
    assert (row["error"], row["retries"], row["payload"]) == ("broken: for now", 3, {"k": unique})
    served.broken = False
    said = await handler.call("iii::queue::redrive_message", {"queue": "quick", "message_id": receipt})
    assert said == {"queue": "quick", "message_id": receipt, "redriven": 1}
    await eventually(lambda: len(served.frames) == 4)
    assert await dead() == []


async def test_a_worker_that_disconnects_while_it_handles_a_job_fails_the_attempt(
    cluster: Cluster, sender: RawWorker, handler: RawWorker, unique: str
) -> None:
    async with raw_worker(cluster.gateways[1].url, name="doomed") as doomed:
        await doomed.register(unique)
        await known(sender, unique)
        await enqueue(sender, "quick", unique, 1)
        await doomed.expect("invokefunction", function_id=unique)
    served = await serve(handler, unique, sender)
    await eventually(lambda: served.data == [1])


async def test_a_handler_that_never_answers_is_given_up(sender: RawWorker, handler: RawWorker, unique: str) -> None:
    await handler.register(unique)
    await known(sender, unique)
    receipt = (await enqueue(sender, "short", unique, 1))["messageReceiptId"]

    async def dead() -> list[Any]:
        rows = await sender.call("engine::queue::dlq_messages", {"queue": "short"})
        return [row["error"] for row in rows if row["id"] == receipt]

    (error,) = await eventually(dead)
    assert error.startswith("TIMEOUT")


async def test_a_missing_function_fails_its_own_job_only(sender: RawWorker, handler: RawWorker, unique: str) -> None:
    served = await serve(handler, unique, sender)
    receipt = (await enqueue(sender, "once", f"{unique}-missing", 1))["messageReceiptId"]
    await enqueue(sender, "once", unique, 2)
    await eventually(lambda: served.data == [2])

    async def dead() -> list[Any]:
        rows = await sender.call("engine::queue::dlq_messages", {"queue": "once"})
        return [row["error"] for row in rows if row["id"] == receipt]

    (error,) = await eventually(dead)
    assert error.startswith("function_not_found")


@pytest.mark.parametrize("publish", ["enqueue", "iii::durable::publish"])
async def test_durable_subscribers_get_every_message_and_queue_triggers_share(
    sender: RawWorker, handler: RawWorker, unique: str, publish: str
) -> None:
    served = [await serve(handler, f"{unique}-{number}", sender) for number in range(4)]
    types = ["durable:subscriber", "durable:subscriber", "queue", "queue"]
    for number, type in enumerate(types):
        await subscribe(handler, sender, f"{unique}-t{number}", type, f"{unique}-{number}", {"topic": unique})
    for number in range(20):
        assert await sender.call(publish, {"topic": unique, "data": {"n": number}}) is None

    def numbers(*which: int) -> list[int]:
        return sorted(data["n"] for one in which for data in served[one].data)

    await eventually(lambda: numbers(0) == numbers(1) == numbers(2, 3) == list(range(20)))
    assert numbers(2)
    assert numbers(3)
    listed = await sender.call("engine::queue::list_topics", {})
    assert {"name": unique, "broker_type": "redis", "subscriber_count": 4} in listed


async def test_a_topic_keeps_messages_for_the_first_subscriber_and_for_workers_that_are_away(
    cluster: Cluster, sender: RawWorker, unique: str
) -> None:
    await sender.call("enqueue", {"topic": unique, "data": 1})
    assert await depth(sender, unique) == 1
    for expected in (1, 2):
        async with raw_worker(cluster.gateways[1].url, name="visitor") as visitor:
            served = await serve(visitor, unique, sender)
            await subscribe(visitor, sender, unique, "durable:subscriber", unique, {"topic": unique})

            async def done() -> bool:
                return await depth(sender, unique) == 0

            await eventually(done)
            assert served.data == [expected]

        async def gone() -> bool:
            rows = (await sender.call("engine::registered-triggers::list", {}))["registered_triggers"]
            return unique not in {row["id"] for row in rows}

        await eventually(gone)
        await sender.call("enqueue", {"topic": unique, "data": expected + 1})
        assert await depth(sender, unique) == 1


async def test_a_trigger_that_is_taken_back_gets_no_more_messages(
    sender: RawWorker, handler: RawWorker, unique: str
) -> None:
    one, two = [await serve(handler, f"{unique}-{number}", sender) for number in range(2)]
    for number in range(2):
        id, function = f"{unique}-t{number}", f"{unique}-{number}"
        await subscribe(handler, sender, id, "durable:subscriber", function, {"topic": unique})
    await sender.call("iii::durable::publish", {"topic": unique, "data": 1})
    await eventually(lambda: one.data == two.data == [1])
    await handler.send("unregistertrigger", id=f"{unique}-t0")

    async def gone() -> bool:
        listed = await sender.call("engine::queue::list_topics", {})
        return {"name": unique, "broker_type": "redis", "subscriber_count": 1} in listed

    await eventually(gone)
    await sender.call("iii::durable::publish", {"topic": unique, "data": 2})
    await eventually(lambda: two.data == [1, 2])
    assert one.data == [1]


async def test_conditions_and_metadata_of_triggers_count(sender: RawWorker, handler: RawWorker, unique: str) -> None:
    served = await serve(handler, unique, sender)
    await sender.register(f"{unique}-even", lambda frame: frame["data"]["n"] % 2 == 0)
    await known(handler, f"{unique}-even")
    config = {"topic": unique, "condition_function_id": f"{unique}-even"}
    fields = {"trigger_type": "durable:subscriber", "function_id": unique, "config": config}
    await handler.send("registertrigger", id=unique, metadata={"team": "x"}, **fields)
    for number in range(6):
        await sender.call("enqueue", {"topic": unique, "data": {"n": number}})
    await eventually(lambda: sorted(data["n"] for data in served.data) == [0, 2, 4])
    assert served.frames[0]["metadata"] == {"team": "x"}


async def test_empty_topics_are_refused(sender: RawWorker) -> None:
    for publish in ("enqueue", "iii::durable::publish"):
        with pytest.raises(CallFailed) as failed:
            await sender.call(publish, {"topic": "", "data": 1})
        assert failed.value.code == "topic_not_set"


async def test_only_the_queue_functions_of_the_engine_are_listed(sender: RawWorker) -> None:
    rows = (await sender.call("engine::functions::list", {}))["functions"]
    ids = {row["function_id"] for row in rows}
    assert {"enqueue", "iii::durable::publish", "iii::queue::redrive", "engine::queue::enqueue"} <= ids
