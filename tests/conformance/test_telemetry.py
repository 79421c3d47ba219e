"""Clients with their telemetry on, as published: it neither disturbs calls nor shows up as workers."""

import pytest

from tests.conformance.conftest import Fleet, Launch
from tests.conformance.known import known
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.sdks import GENERATIONS, PYTHON_25, Generation


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_calls_work_with_telemetry_on(
    fleet: Fleet, launch: Launch, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    peer = await fleet.worker(PYTHON_25, 1)
    client = await launch(generation, shared_cluster.gateways[0].url, unique, telemetry=True)
    await client.register(f"{unique}::client")
    await peer.register(f"{unique}::peer")
    await known(peer, f"{unique}::client")
    await known(client, f"{unique}::peer")

    for n in range(20):
        assert (await client.call(f"{unique}::peer", {"n": n}))["data"]["n"] == n
        assert (await peer.call(f"{unique}::client", {"n": n}))["data"]["n"] == n


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_a_telemetry_connection_is_not_listed_as_a_worker(
    fleet: Fleet, launch: Launch, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    observer = await fleet.worker(PYTHON_25, 1)
    client = await launch(generation, shared_cluster.gateways[0].url, unique, telemetry=True)
    await client.register(f"{unique}::client")
    await known(observer, f"{unique}::client")
    for n in range(20):
        await observer.call(f"{unique}::client", {"n": n})

    async def only_announced_ones() -> bool:
        rows = await observer.ask("workers")
        return all(row["name"] for row in rows) and sum(row["name"] == unique for row in rows) == 1

    await eventually(only_announced_ones)
