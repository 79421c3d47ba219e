"""Cron through real processes."""

from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import Frame, RawWorker, known, raw_worker

EVERY_SECOND = "* * * * * *"


async def cron(worker: RawWorker, id: str, function: str, expression: Any = EVERY_SECOND, **more: Any) -> None:
    config = {"expression": expression, **more.pop("config", {})}
    await worker.send("registertrigger", id=id, trigger_type="cron", function_id=function, config=config, **more)


def ticks(frames: list[Frame]) -> list[str]:
    return [frame["data"]["scheduled_time"] for frame in frames]


async def test_a_job_runs_with_its_event_and_metadata(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    frames: list[Frame] = []
    async with raw_worker(here.url) as owner, raw_worker(there.url) as server:
        await server.register(f"{unique}::f", frames.append)
        await known(owner, f"{unique}::f")
        await cron(owner, f"{unique}-1", f"{unique}::f", metadata={"step": "a"})
        await eventually(lambda: len(frames) >= 3)
    assert frames[0]["metadata"] == {"step": "a"}
    assert list(frames[0]["data"]) == ["trigger", "job_id", "scheduled_time", "actual_time"]
    assert (frames[0]["data"]["trigger"], frames[0]["data"]["job_id"]) == ("cron", f"{unique}-1")
    assert len(set(ticks(frames))) == len(frames)


async def test_replicas_that_register_the_same_job_run_it_once(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    frames: list[Frame] = []
    async with raw_worker(here.url) as first, raw_worker(there.url) as second, raw_worker(there.url) as third:
        workers = (first, second, third)
        for number, worker in enumerate(workers):
            await worker.register(f"{unique}::f", frames.append)
            await cron(worker, f"{unique}-{number}", f"{unique}::f")
        await eventually(lambda: frames and frames[-1]["data"]["job_id"] == f"{unique}-0")
        frames.clear()
        await eventually(lambda: len(frames) >= 3)
        assert len(set(ticks(frames))) == len(frames)
        await first.close()
        await eventually(lambda: frames[-1]["data"]["job_id"] == f"{unique}-1")
        assert len(set(ticks(frames))) == len(frames)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "expression is required"),
        ({"expression": ""}, "expression is required"),
        ({"expression": None}, "expression is required"),
        (None, "must be an object"),
        ({"expression": 5}, "expression is text"),
        ({"expression": "every day"}, "every day"),
        ({"expression": "* * * * * 8"}, "* * * * * 8"),
        ({"expression": "*/0 * * * * *"}, "*/0 * * * * *"),
    ],
)
async def test_bad_expressions_are_refused(shared_cluster: Cluster, unique: str, config: Any, said: str) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        await worker.send("registertrigger", id=unique, trigger_type="cron", function_id="f", config=config)
        answer = await worker.expect("triggerregistrationresult", id=unique)
        assert answer["error"]["code"] == "trigger_registration_failed"
        assert said in answer["error"]["message"]
        await worker.flush()


async def test_a_job_can_be_removed_and_registered_again(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    frames: list[Frame] = []
    clock: list[Frame] = []
    async with raw_worker(here.url) as owner, raw_worker(there.url) as server:
        await server.register(f"{unique}::f", frames.append)
        await server.register(f"{unique}::clock", clock.append)
        await cron(owner, f"{unique}-1", f"{unique}::f")
        await cron(owner, f"{unique}-2", f"{unique}::clock")
        await eventually(lambda: frames and clock)
        await owner.send("unregistertrigger", id=f"{unique}-1")
        await owner.flush()

        async def stopped() -> bool:
            frames.clear()
            count = len(clock)
            await eventually(lambda: len(clock) >= count + 2)
            return not frames

        await eventually(stopped)
        await cron(owner, f"{unique}-1", f"{unique}::f")
        await eventually(lambda: frames)
        assert ticks(frames)[0] > ticks(clock)[-3]


async def test_a_job_never_overlaps_itself(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    clock: list[Frame] = []
    async with raw_worker(here.url) as owner, raw_worker(there.url) as server:
        await server.register(f"{unique}::slow")  # answered by hand
        await server.register(f"{unique}::clock", clock.append)
        await cron(owner, f"{unique}-1", f"{unique}::slow")
        await cron(owner, f"{unique}-2", f"{unique}::clock")
        for _ in range(2):
            call = await server.expect("invokefunction", function_id=f"{unique}::slow")
            count = len(clock)
            await eventually(lambda count=count: len(clock) >= count + 3)  # type: ignore[misc]
            await server.nothing("invokefunction", function_id=f"{unique}::slow")
            await server.answer(call)


async def test_handler_and_condition_run_in_the_namespace_of_the_trigger(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    frames: list[Frame] = []
    async with raw_worker(here.url) as owner, raw_worker(there.url, namespace=unique) as server:
        await server.register(f"{unique}::f", frames.append)
        await server.register(f"{unique}::check", frames.append)
        config = {"condition_function_id": f"{unique}::check"}
        await cron(owner, f"{unique}-1", f"{unique}::f", config=config, namespace=unique)
        await eventually(lambda: {frame["function_id"] for frame in frames} == {f"{unique}::f", f"{unique}::check"})


async def test_jobs_end_with_the_worker_that_registered_them(shared_cluster: Cluster, unique: str) -> None:
    here, _ = shared_cluster.gateways
    frames: list[Frame] = []
    clock: list[Frame] = []
    async with raw_worker(here.url) as server:
        await server.register(f"{unique}::f", frames.append)
        await server.register(f"{unique}::clock", clock.append)
        await cron(server, f"{unique}-2", f"{unique}::clock")
        async with raw_worker(here.url) as owner:
            await cron(owner, f"{unique}-1", f"{unique}::f")
            await eventually(lambda: frames)

        async def stopped() -> bool:
            frames.clear()
            count = len(clock)
            await eventually(lambda: len(clock) >= count + 2)
            return not frames

        await eventually(stopped)


async def test_a_hundred_jobs_of_one_second_run_all(shared_cluster: Cluster, unique: str) -> None:
    here, there = shared_cluster.gateways
    seen: dict[str, set[str]] = {f"{unique}::f{n}": set() for n in range(100)}
    async with raw_worker(here.url) as owner, raw_worker(there.url) as server:
        for name in seen:
            await server.register(name, lambda frame: seen[frame["function_id"]].add(frame["data"]["scheduled_time"]))
            await cron(owner, f"{name}-t", name)
        await eventually(lambda: all(len(times) >= 3 for times in seen.values()), within=30.0)
