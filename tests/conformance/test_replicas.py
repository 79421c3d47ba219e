"""Several workers that serve the same functions: what users run as replicas of a deployment."""

import asyncio
from typing import Any

import pytest

from tests.conformance.conftest import Launch
from tests.conformance.known import known, served_by_all
from tests.conformance.load import CALLERS, Load
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.sdk_worker import SdkError, SdkWorker
from tests.support.sdks import GENERATIONS, NODE_22, PYTHON_9, PYTHON_25, Generation


async def two_replicas(launch: Launch, cluster: Cluster, replica: Generation, function: str) -> list[SdkWorker]:
    replicas = [await launch(replica, gateway.url, f"replica-{n}") for n, gateway in enumerate(cluster.gateways)]
    for worker in replicas:
        await worker.register(function)
    return replicas


async def one_leaves(launch: Launch, cluster: Cluster, replica: Generation, unique: str, *, cleanly: bool) -> None:
    function = f"{unique}::echo"
    leaving, staying = await two_replicas(launch, cluster, replica, function)
    # Not on the gateway of the one that leaves.
    caller = await launch(PYTHON_25 if replica.language == "node" else NODE_22, cluster.gateways[1].url, "caller")
    await known(caller, function)
    await served_by_all(caller, function, {leaving.name, staying.name})
    load = Load(caller, function)
    await load.answers(200)

    if cleanly:
        await leaving.shutdown()
    else:
        leaving.kill()
    await load.answers(200)
    # Whatever was in flight on the replica that left has ended: from here on only the other one answers.
    late = await load.answers(200)
    await load.stop()

    assert set(late) == {staying.name}
    # A caller waits for one call at a time, so each can have had at most one in flight on the replica that left.
    assert len(load.errors) <= CALLERS, load.errors
    assert {error.code for error in load.errors} <= {"invocation_stopped"}


@pytest.mark.parametrize("replica", GENERATIONS, ids=str)
async def test_when_one_of_two_replicas_stops_cleanly_the_other_keeps_answering(
    launch: Launch, shared_cluster: Cluster, unique: str, replica: Generation
) -> None:
    await one_leaves(launch, shared_cluster, replica, unique, cleanly=True)


@pytest.mark.parametrize("replica", GENERATIONS, ids=str)
async def test_when_one_of_two_replicas_is_killed_the_other_keeps_answering(
    launch: Launch, shared_cluster: Cluster, unique: str, replica: Generation
) -> None:
    await one_leaves(launch, shared_cluster, replica, unique, cleanly=False)


async def test_two_replicas_share_the_calls(launch: Launch, shared_cluster: Cluster, unique: str) -> None:
    function = f"{unique}::hold"
    replicas = [
        await launch(PYTHON_25, gateway.url, f"replica-{number}")
        for number, gateway in enumerate(shared_cluster.gateways)
    ]
    for worker in replicas:
        await worker.register(function, "hold")
    caller = await launch(NODE_22, shared_cluster.gateways[0].url, "caller")

    await known(caller, function)
    calls: list[asyncio.Task[Any]] = []

    async def both_are_busy() -> bool:
        # A held call keeps its replica busy, so sooner or later the other one gets one.
        calls.append(asyncio.create_task(caller.call(function, {})))
        return all(worker.events("called", function=function) for worker in replicas)

    await eventually(both_are_busy)
    for worker in replicas:
        await worker.ask("release", function=function)

    answers = await asyncio.gather(*calls)
    assert {answer["worker"] for answer in answers} == {worker.name for worker in replicas}


@pytest.mark.parametrize("router", [PYTHON_25, NODE_22], ids=str)
@pytest.mark.parametrize("replica", GENERATIONS, ids=str)
async def test_a_rolling_deploy_replica_takes_over_functions_and_exclusive_triggers(
    launch: Launch, shared_cluster: Cluster, unique: str, router: Generation, replica: Generation
) -> None:
    near, far = (gateway.url for gateway in shared_cluster.gateways)
    function = f"{unique}::orders"
    trigger = {"key": "route", "type": unique, "function": function, "config": {"path": "/orders"}}
    # Like an HTTP router, it refuses a path it already has.
    provider = await launch(router, near, "router")
    await provider.ask("provide", type=unique, unique="path")
    old = await launch(replica, near, "old")
    await old.register(function)
    await old.ask("trigger", **trigger)
    of_old = await provider.event("trigger_registered", type=unique)

    new = await launch(replica, far, "new")
    await new.register(function)
    await new.ask("trigger", **trigger)
    of_new = await provider.event("trigger_refused", type=unique)
    assert of_new["id"] != of_old["id"]
    id_of_new = await new.worker_id()
    await served_by_all(provider, function, {"old", "new"})

    await old.shutdown()

    await provider.event("trigger_unregistered", type=unique, id=of_old["id"])
    await provider.event("trigger_registered", type=unique, id=of_new["id"])
    answers = [
        await provider.ask("fire", type=unique, trigger=of_new["id"], data={"order": order}) for order in range(20)
    ]
    assert {answer["worker"] for answer in answers} == {"new"}
    assert await new.worker_id() == id_of_new, "the new replica had to reconnect"


@pytest.mark.parametrize("replica", [PYTHON_9, PYTHON_25, NODE_22], ids=str)
async def test_a_function_is_gone_when_its_last_replica_is(
    launch: Launch, shared_cluster: Cluster, unique: str, replica: Generation
) -> None:
    function = f"{unique}::echo"
    replicas = await two_replicas(launch, shared_cluster, replica, function)
    caller = await launch(PYTHON_25, shared_cluster.gateways[0].url, "caller")
    await known(caller, function)
    await served_by_all(caller, function, {worker.name for worker in replicas})

    for worker in replicas:
        await worker.shutdown()

    codes = set()
    async with asyncio.timeout(15):
        while "function_not_found" not in codes:
            with pytest.raises(SdkError) as raised:
                await caller.call(function, {})
            codes.add(raised.value.code)
    assert codes <= {"function_not_found", "invocation_stopped"}
