"""Pub/sub through real processes: publisher, owner of the trigger and function on different gateways."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, Frame, RawWorker, known, raw_worker

FUNCTIONS = 1000


async def subscribe(worker: RawWorker, id: str, topic: str, function: str, **more: Any) -> None:
    config = {"topic": topic, **more.pop("config", {})}
    trigger = {"id": id, "trigger_type": "subscribe", "function_id": function, "config": config, **more}
    await worker.send("registertrigger", **trigger)


async def live(worker: RawWorker, *ids: str) -> None:
    """Returns when these triggers are bound, and gateways had the time to hear of it."""

    async def bound() -> bool:
        rows = (await worker.call("engine::registered-triggers::list", {}))["registered_triggers"]
        return {row["id"] for row in rows if row["state"] == "live"} >= set(ids)

    await eventually(bound)


async def until_told(publisher: RawWorker, topic: str, seen: list[Any], count: int = 1) -> None:
    """Publishes until all `count` subscriptions hear of it: gateways learn of triggers a moment later."""

    async def told() -> bool:
        before = len(seen)
        await publisher.call("publish", {"topic": topic, "data": "probe"})
        await eventually(lambda: len(seen) >= before + count, within=2.0)
        return True

    await eventually(told)
    seen.clear()


async def test_every_subscription_hears_once_wherever_it_is(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    seen: list[Any] = []
    async with raw_worker(here.url) as publisher, raw_worker(here.url) as near, raw_worker(there.url) as far:
        for worker, name in ((near, "near"), (far, "far")):
            await worker.register(f"{unique}::{name}", lambda frame: seen.append(frame["data"]))
        await subscribe(far, f"{unique}-1", unique, f"{unique}::near")  # by somebody who does not serve it
        await subscribe(near, f"{unique}-2", unique, f"{unique}::far")
        await subscribe(near, f"{unique}-3", f"{unique}-other", f"{unique}::far")
        await known(publisher, f"{unique}::near", f"{unique}::far")
        await until_told(publisher, unique, seen, 2)
        for n in range(20):
            frame = await publisher.result(await publisher.begin("publish", {"topic": unique, "data": {"n": n}}))
            assert "result" not in frame
            assert "error" not in frame
        await eventually(lambda: len(seen) >= 40)
        assert Counter(event["n"] for event in seen) == dict.fromkeys(range(20), 2)


async def test_metadata_is_an_argument_of_its_own_and_data_is_untouched(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    frames: list[Frame] = []
    async with raw_worker(here.url) as publisher, raw_worker(there.url) as worker:
        await worker.register(f"{unique}::f", frames.append)
        await subscribe(worker, f"{unique}-1", unique, f"{unique}::f", metadata={"tenant": "a"})
        await known(publisher, f"{unique}::f")
        await until_told(publisher, unique, frames)
        await publisher.call("publish", {"topic": unique, "data": {"deep": [1, {"x": None}]}})
        await eventually(lambda: frames)
        assert frames[0]["data"] == {"deep": [1, {"x": None}]}
        assert frames[0]["metadata"] == {"tenant": "a"}


async def test_a_trigger_that_is_removed_hears_no_more_and_its_neighbours_do(
    shared_cluster: Cluster, unique: str
) -> None:
    here, there = shared_cluster.gateways
    first: list[Any] = []
    second: list[Any] = []
    async with raw_worker(here.url) as publisher, raw_worker(there.url) as worker:
        await worker.register(f"{unique}::first", first.append)
        await worker.register(f"{unique}::second", second.append)
        await subscribe(worker, f"{unique}-1", unique, f"{unique}::first")
        await subscribe(worker, f"{unique}-2", unique, f"{unique}::second")
        await known(publisher, f"{unique}::first", f"{unique}::second")
        await until_told(publisher, unique, second)
        await until_told(publisher, unique, first)
        await worker.send("unregistertrigger", id=f"{unique}-1")

        async def quiet() -> bool:
            first.clear()
            second.clear()
            await publisher.call("publish", {"topic": unique, "data": 1})
            await eventually(lambda: second, within=2.0)
            await worker.flush()
            return not first

        await eventually(quiet)


async def test_triggers_go_with_their_worker(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    seen: list[Any] = []
    async with raw_worker(here.url) as publisher, raw_worker(there.url) as server:
        await server.register(f"{unique}::f", seen.append)
        async with raw_worker(there.url) as owner:
            await subscribe(owner, f"{unique}-1", unique, f"{unique}::f")
            await known(publisher, f"{unique}::f")
            await until_told(publisher, unique, seen)

        async def quiet() -> bool:
            seen.clear()
            await publisher.call("publish", {"topic": unique, "data": 1})
            await server.flush()
            await asyncio.sleep(0.1)
            return not seen

        await eventually(quiet)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"topic": "", "data": 1}, "topic_not_set"),
        ({"data": 1}, "deserialization_error"),
        ({"topic": 5, "data": 1}, "deserialization_error"),
        (None, "deserialization_error"),
        ([], "deserialization_error"),
    ],
)
async def test_bad_input_is_an_error(shared_cluster: Cluster, data: Any, code: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as publisher:
        with pytest.raises(CallFailed) as caught:
            await publisher.call("publish", data)
        assert caught.value.code == code


async def test_triggers_without_a_topic_are_accepted_and_hear_nothing(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    seen: list[Any] = []
    async with raw_worker(here.url) as publisher, raw_worker(there.url) as worker:
        await worker.register(f"{unique}::f", seen.append)
        for number, config in enumerate(({}, {"topic": ""}, {"topic": None}, {"topic": 7}, None)):
            trigger = {"id": f"{unique}-{number}", "trigger_type": "subscribe", "function_id": f"{unique}::f"}
            await worker.send("registertrigger", **trigger, config=config)
        await live(worker, *(f"{unique}-{number}" for number in range(5)))
        await worker.nothing("triggerregistrationresult")
        for topic in ("null", "7", "None", unique):
            await publisher.call("publish", {"topic": topic, "data": 1})
        await worker.flush()
        assert seen == []


@pytest.mark.parametrize("topic", ["a:b", "*", "ünï/cödé \u0000 \n", "x" * 10_000, "__proto__"])
async def test_topics_are_any_text(shared_cluster: Cluster, unique: str, topic: str) -> None:
    here, there = shared_cluster.gateways
    seen: list[Any] = []
    async with raw_worker(here.url) as publisher, raw_worker(there.url) as worker:
        await worker.register(f"{unique}::f", seen.append)
        await subscribe(worker, f"{unique}-1", unique + topic, f"{unique}::f")
        await known(publisher, f"{unique}::f")
        await until_told(publisher, unique + topic, seen)
        await publisher.call("publish", {"topic": unique + topic, "data": 1})
        await publisher.call("publish", {"topic": unique + topic + "x", "data": 2})
        await eventually(lambda: seen)
        await worker.flush()
        assert [frame["data"] for frame in seen] == [1]


async def test_one_event_reaches_a_thousand_functions(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    seen: Counter[str] = Counter()
    async with raw_worker(here.url) as publisher, raw_worker(there.url) as worker:
        names = [f"{unique}::f{n}" for n in range(FUNCTIONS)]
        for name in names:
            await worker.register(name, lambda frame: seen.update([frame["function_id"]]))
            await subscribe(worker, f"{name}-t", unique, name)
        await known(publisher, *names)
        await live(worker, *(f"{name}-t" for name in names))

        async def told() -> bool:
            seen.clear()
            await publisher.call("publish", {"topic": unique, "data": "probe"})
            await eventually(lambda: seen.total() == FUNCTIONS, within=5.0)
            return True

        await eventually(told, within=30.0)
        seen.clear()
        for n in range(3):
            await publisher.call("publish", {"topic": unique, "data": n})
        await eventually(lambda: seen.total() >= 3 * FUNCTIONS, within=30.0)
        assert set(seen.values()) == {3}
        assert len(seen) == FUNCTIONS
