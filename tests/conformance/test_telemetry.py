"""Clients with their telemetry on, as published: it disturbs no calls, shows up as no worker, and is kept."""

from typing import Any

import pytest

from tests.conformance.conftest import Fleet, Launch
from tests.conformance.known import known
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.sdk_worker import SdkWorker
from tests.support.sdks import GENERATIONS, NODE_9, NODE_22, PYTHON_25, Generation


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


async def bound(worker: SdkWorker, function: str) -> None:
    """Returns when a trigger of this function is live."""

    async def live() -> bool:
        rows = (await worker.call("engine::registered-triggers::list", {}))["registered_triggers"]
        return any(row["function_id"] == function and row["state"] == "live" for row in rows)

    await eventually(live)


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
async def test_spans_and_logs_of_clients_are_kept_and_log_triggers_fire(
    fleet: Fleet, launch: Launch, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    peer = await fleet.worker(PYTHON_25, 1)
    client = await launch(generation, shared_cluster.gateways[0].url, unique, telemetry=True)
    await client.register(f"{unique}::log", "log")
    await peer.register(f"{unique}::told", "record")
    config = {"level": "error"}
    await peer.ask("trigger", key=unique, type="log", function=f"{unique}::told", config=config)
    await known(peer, f"{unique}::log")
    await bound(peer, f"{unique}::told")

    async def told() -> Any:
        await peer.call(f"{unique}::log", {"level": "error", "message": unique, "n": 7})
        heard = [event["data"] for event in peer.events("called", function=f"{unique}::told")]
        return next((record for record in heard if record["body"] == unique), None)

    record = await eventually(told)
    assert record["severity_number"] == 17

    async def traced() -> bool:
        """The client's own span is below that of the gateway which made the call; what it is called differs."""
        spans = (await peer.call("engine::traces::list", {"name": f"call {unique}::log", "limit": 1}))["spans"]
        (root,) = (await peer.call("engine::traces::tree", {"trace_id": spans[0]["trace_id"]}))["roots"]
        return any(child["service_name"] != root["service_name"] for child in root["children"])

    await eventually(traced)

    async def listed() -> bool:
        asked = {"severity_text": "error", "severity_min": 17}
        return any(log["body"] == unique for log in (await peer.call("engine::logs::list", asked))["logs"])

    assert await listed()
    await peer.ask("untrigger", key=unique)


@pytest.mark.parametrize("generation", [NODE_22, NODE_9], ids=str)
async def test_gauges_of_a_client_are_kept_and_shown_with_its_worker(
    fleet: Fleet, launch: Launch, shared_cluster: Cluster, unique: str, generation: Generation
) -> None:
    peer = await fleet.worker(PYTHON_25, 1)
    otel = {"metricsExportIntervalMs": 300, "serviceName": unique}
    client = await launch(generation, shared_cluster.gateways[0].url, unique, telemetry=True, otel=otel)

    async def kept() -> bool:
        asked = {"metric_name": "iii.worker.memory.rss"}
        metrics = (await peer.call("engine::metrics::list", asked))["sdk_metrics"]
        return any(metric["service_name"] == unique for metric in metrics)

    await eventually(kept)

    async def shown() -> Any:
        rows = (await peer.call("engine::workers::list", {"worker_id": await client.worker_id()}))["workers"]
        return rows[0]["latest_metrics"]

    latest = await eventually(shown)
    assert latest["memory_rss"] > 0
    assert latest["runtime"] == "node"
