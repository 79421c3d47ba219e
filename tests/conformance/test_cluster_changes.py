"""Clients call each other while shards and coordinators come and go: they do not notice."""

from collections.abc import Callable

import pytest

from tests.conformance.conftest import Launch
from tests.conformance.known import known
from tests.conformance.load import Load
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.sdks import GENERATIONS, NODE_22, PYTHON_25


def kill_a_shard(cluster: Cluster) -> None:
    cluster.shards[0].kill()


def stop_a_shard(cluster: Cluster) -> None:
    cluster.shards[0].stop()


def add_a_shard(cluster: Cluster) -> None:
    cluster.add_shard()


def replace_the_coordinator(cluster: Cluster) -> None:
    cluster.coordinators[0].kill()
    cluster.add_coordinator()


@pytest.mark.parametrize("change", [kill_a_shard, stop_a_shard, add_a_shard, replace_the_coordinator])
async def test_no_call_fails_while_the_cluster_changes(
    launch: Launch, own_cluster: Cluster, change: Callable[[Cluster], None]
) -> None:
    near, far = own_cluster.gateways
    callees = [await launch(generation, far.url, str(generation)) for generation in GENERATIONS]
    for callee in callees:
        await callee.register(f"{callee.name}::echo")
    callers = [await launch(PYTHON_25, near.url, "python-caller"), await launch(NODE_22, near.url, "node-caller")]
    for caller in callers:
        await known(caller, *(f"{callee.name}::echo" for callee in callees))
    loads = [Load(caller, f"{callee.name}::echo") for caller in callers for callee in callees]
    for load in loads:
        await load.answers(5)

    change(own_cluster)

    # A function that is new to the changed cluster is found, and a cached one has not been lost.
    for callee in callees:
        await callee.register(f"{callee.name}::late")
    for caller in callers:
        await known(caller, *(f"{callee.name}::late" for callee in callees))
        for callee in callees:
            assert (await caller.call(f"{callee.name}::late", {}))["worker"] == callee.name
    for load in loads:
        await load.answers(5)
        await load.stop()
    assert [error for load in loads for error in load.errors] == []


async def test_parked_triggers_survive_the_loss_of_a_shard(launch: Launch, own_cluster: Cluster) -> None:
    near, far = own_cluster.gateways
    owner = await launch(NODE_22, near.url, "owner")
    for n in range(20):
        await owner.ask("trigger", key=f"{n}", type=f"type-{n}", function="owner::f", config={"n": n})
    await owner.ask("functions")

    own_cluster.shards[0].kill()
    provider = await launch(PYTHON_25, far.url, "provider")
    for n in range(20):
        await provider.ask("provide", type=f"type-{n}")

    await eventually(lambda: len(provider.events("trigger_registered")) >= 20)
    offered = {trigger["type"]: trigger["config"]["n"] for trigger in provider.events("trigger_registered")}
    assert offered == {f"type-{n}": n for n in range(20)}
