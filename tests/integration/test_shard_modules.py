"""Modules in shards: calls of functions wherever they are, triggers, ownership, deliveries of a shard that is lost."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iii_cluster.cluster.slots import slot_of
from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.raw import Frame, RawWorker, echo, known, raw_worker
from tests.support.reconnecting import reconnecting
from tests.support.shard_module import ENVIRONMENT, key_of
from tests.support.watcher import cluster_map, status

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two gateways and two shards that no test harms."""
    directory: Path = tmp_path_factory.mktemp("shard-modules")
    cluster = Cluster(directory, env=ENVIRONMENT)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
async def worker(cluster: Cluster) -> AsyncIterator[RawWorker]:
    async with raw_worker(cluster.gateways[0].url) as worker:
        yield worker


def owner_of(cluster: Cluster, key: str) -> ClusterNode:
    """The shard that acts for a key."""
    slot = slot_of(key_of(key))
    ranges = cluster_map(cluster.gateways[0])["slots"]
    owner = next(node for node, owned in ranges.items() if any(first <= slot <= last for first, last in owned))
    return next(shard for shard in cluster.shards if shard.id == owner)


def key_on(cluster: Cluster, shard: ClusterNode) -> str:
    return next(key for number in range(1000) if owner_of(cluster, key := f"k{number}") is shard)


def modules_of(shard: ClusterNode) -> dict[str, Any]:
    numbers: dict[str, Any] = status(shard)["service"]["modules"]["puppet"]
    return numbers


async def run(worker: RawWorker, key: str, op: str, **order: Any) -> Any:
    return await worker.call("shard::run", {"key": key, "op": op, **order}, within=30)


# -- calls


async def test_a_module_in_a_shard_calls_a_function_of_a_worker(
    cluster: Cluster, worker: RawWorker, unique: str
) -> None:
    async with raw_worker(cluster.gateways[1].url) as serving:
        await serving.register(f"{unique}::f", echo)
        await known(worker, f"{unique}::f")
        for shard in cluster.shards:
            said = await run(worker, key_on(cluster, shard), "call", function=f"{unique}::f", data={"n": 1})
            assert said == {"node": shard.id, "result": {"n": 1}}


async def test_a_function_nobody_serves_is_not_found(worker: RawWorker, unique: str) -> None:
    said = await run(worker, unique, "call", function=f"{unique}::nobody")
    assert said["error"]["code"] == "function_not_found"


async def test_calls_of_a_namespace_find_its_functions(cluster: Cluster, worker: RawWorker, unique: str) -> None:
    async with raw_worker(cluster.gateways[1].url, namespace=unique) as serving:
        await serving.register(f"{unique}::f", echo)
        await known(worker, f"{unique}::f", namespace=unique)
        said = await run(worker, unique, "call", function=f"{unique}::f", data=1, namespace=unique)
        assert said["result"] == 1


async def test_a_function_of_a_module_is_called_at_any_gateway(cluster: Cluster, worker: RawWorker) -> None:
    answers = [(await run(worker, "k", "call", function="shard::echo", data=n))["result"] for n in range(4)]
    assert [answer["data"] for answer in answers] == [0, 1, 2, 3]
    assert {answer["node"] for answer in answers} == {gateway.id for gateway in cluster.gateways}


async def test_a_worker_that_answers_on_another_gateway_ends_the_call(
    cluster: Cluster, worker: RawWorker, unique: str
) -> None:
    here, there = cluster.gateways
    async with raw_worker(there.url) as first, raw_worker(here.url) as second:
        await first.register(f"{unique}::f")
        await known(worker, f"{unique}::f")
        call = await worker.begin("shard::run", {"key": unique, "op": "call", "function": f"{unique}::f"})
        invocation = await first.expect("invokefunction")
        await second.answer(invocation, "elsewhere")
        assert (await worker.result(call))["result"]["result"] == "elsewhere"


async def test_a_call_follows_its_worker_to_another_gateway(make_cluster: Callable[..., Cluster], unique: str) -> None:
    """The worker is sent away by a gateway that stops, and answers at the other one."""
    cluster = make_cluster(env=ENVIRONMENT)
    here, there = cluster.gateways
    async with reconnecting(there.url, here.url) as serving, raw_worker(here.url) as worker:
        invocations: list[Frame] = []

        async def hold(frame: Frame) -> str:
            invocations.append(frame)
            await eventually(lambda: len(serving.identities) == 2 and serving.connected)
            return "answered"

        await serving.connections(1)
        await serving.register(f"{unique}::f", hold)
        await known(worker, f"{unique}::f")
        call = await worker.begin("shard::run", {"key": unique, "op": "call", "function": f"{unique}::f"})
        await eventually(lambda: invocations)
        there.terminate()
        assert (await worker.result(call, within=30))["result"]["result"] == "answered"
        assert there.wait() == 0


async def test_a_call_at_a_gateway_that_is_killed_is_stopped(make_cluster: Callable[..., Cluster], unique: str) -> None:
    cluster = make_cluster(env=ENVIRONMENT)
    here, there = cluster.gateways
    async with raw_worker(there.url) as serving, raw_worker(here.url) as worker:
        await serving.register(f"{unique}::f")
        await known(worker, f"{unique}::f")
        call = await worker.begin("shard::run", {"key": unique, "op": "call", "function": f"{unique}::f"})
        await serving.expect("invokefunction")
        there.kill()
        assert (await worker.result(call, within=30))["result"]["error"]["code"] == "invocation_stopped"
        said = await run(worker, unique, "call", function=f"{unique}::f")
        assert said["error"]["code"] == "function_not_found"


# -- what a shard sees


async def test_a_module_in_a_shard_knows_what_is_served(cluster: Cluster, worker: RawWorker, unique: str) -> None:
    function = f"{unique}::f"
    assert (await run(worker, unique, "serves", function=function))["result"] is False
    async with raw_worker(cluster.gateways[1].url) as serving:
        await serving.register(function, echo)

        async def served() -> bool:
            answer: bool = (await run(worker, unique, "serves", function=function))["result"]
            return answer

        await eventually(served)

    async def unserved() -> bool:
        return not await served()

    await eventually(unserved)


async def test_a_module_in_a_shard_sees_the_triggers_of_a_type(
    cluster: Cluster, worker: RawWorker, unique: str
) -> None:
    type = "engine::workers-available"
    trigger = {"id": unique, "trigger_type": type, "function_id": f"{unique}::f"}

    keys = [key_on(cluster, shard) for shard in cluster.shards]

    async def seen() -> list[bool]:
        return [unique in (await run(worker, key, "watch", type=type))["result"] for key in keys]

    async def seen_by_all() -> bool:
        return all(await seen())

    async def seen_by_none() -> bool:
        return not any(await seen())

    assert await seen_by_none()
    await worker.send("registertrigger", **trigger, config=None)
    await eventually(seen_by_all)
    await worker.send("unregistertrigger", id=unique, trigger_type=type)
    await eventually(seen_by_none)


async def test_all_slots_have_an_owner_with_a_token(cluster: Cluster, worker: RawWorker) -> None:
    assert sum(modules_of(shard)["slots"] for shard in cluster.shards) == 1024
    assert (await run(worker, "k", "token"))["result"] > 0


# -- losses


async def test_the_next_owner_has_a_higher_token_and_adopts_what_is_under_way(
    make_cluster: Callable[..., Cluster], unique: str
) -> None:
    cluster = make_cluster(env=ENVIRONMENT)
    async with raw_worker(cluster.gateways[1].url) as serving, raw_worker(cluster.gateways[0].url) as worker:
        await serving.register(f"{unique}::f")
        await known(worker, f"{unique}::f")
        former = owner_of(cluster, unique)
        token = (await run(worker, unique, "token"))["result"]
        for once in ("ended", "under-way"):
            await run(worker, unique, "begin", function=f"{unique}::f", once=once)
        ended, under_way = [await serving.expect("invokefunction") for _ in range(2)]
        await serving.answer(ended, 1)
        await serving.flush()
        former.kill()
        await eventually(lambda: owner_of(cluster, unique) is not former)
        assert (await run(worker, unique, "token"))["result"] > token
        adopted = await run(worker, unique, "adopt", names=["ended", "under-way", "never"])
        assert adopted.pop("node") == owner_of(cluster, unique).id
        assert adopted == {"serving": ["under-way"], "ended": {"ended": ""}, "complete": True}
        assert (await run(worker, unique, "adopted"))["result"] == {}
        await serving.answer(under_way, error={"code": "NO", "message": "not today"})

        async def told() -> bool:
            return "NO" in (await run(worker, unique, "adopted"))["result"].get("under-way", "")

        await eventually(told)


async def test_a_shard_that_drains_tells_its_modules_and_its_heir_adopts(
    make_cluster: Callable[..., Cluster], unique: str
) -> None:
    cluster = make_cluster(env=ENVIRONMENT)
    async with raw_worker(cluster.gateways[1].url) as serving, raw_worker(cluster.gateways[0].url) as worker:
        await serving.register(f"{unique}::f")
        await known(worker, f"{unique}::f")
        former = owner_of(cluster, unique)
        await run(worker, unique, "begin", function=f"{unique}::f", once="job")
        invocation = await serving.expect("invokefunction")
        former.terminate()
        await eventually(lambda: owner_of(cluster, unique) is not former)
        adopted = await run(worker, unique, "adopt", names=["job"])
        assert adopted["serving"] == ["job"]
        await serving.answer(invocation, 1)

        async def told() -> bool:
            adopted: dict[str, str] = (await run(worker, unique, "adopted"))["result"]
            return adopted == {"job": ""}

        await eventually(told)
        assert former.wait() == 0


async def test_a_shard_that_was_cut_off_begins_its_modules_anew(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(env=ENVIRONMENT)
    shard = cluster.shards[0]
    before = shard.id
    shard.pause()
    await eventually(lambda: before not in {node["id"] for node in cluster_map(cluster.gateways[0])["nodes"]})
    shard.resume()
    await eventually(lambda: status(shard)["ready"] and status(shard)["id"] != before)
    numbers = modules_of(shard)
    assert numbers["begun"] == 2
    await eventually(lambda: modules_of(shard)["slots"] == 512)
    shard.id = status(shard)["id"]
    async with raw_worker(cluster.gateways[0].url) as worker:
        said = await run(worker, key_on(cluster, shard), "call", function="shard::echo", data=1)
        assert said["result"]["data"] == 1
