"""A leader is stopped or killed in the middle of its work: another one finishes it, and each loss is told of once."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, echo, known, raw_worker, workers_listed
from tests.support.watcher import (
    WorkerEvents,
    cluster_map,
    leader_of,
    members,
    status,
    watch_workers,
    watching_maps,
)

GONE = "worker_disconnected"
MANY = 300  # workers
PATIENCE = 40.0  # seconds


async def _connect(stack: AsyncExitStack, gateway: ClusterNode, count: int) -> list[RawWorker]:
    return [await stack.enter_async_context(raw_worker(gateway.url)) for _ in range(count)]


async def _all_known(events: WorkerEvents, workers: list[str]) -> None:
    await eventually(lambda: len(events.told("worker_connected", workers)) == len(workers), PATIENCE)


async def _told_once(events: WorkerEvents, observer: RawWorker, workers: list[str]) -> None:
    """Every one of these is told of, and none twice, even when a probe has come through behind."""
    await eventually(lambda: len(events.told(GONE, workers)) == len(workers), PATIENCE)
    assert not set(workers) & await workers_listed(observer)
    assert set(events.told(GONE, workers).values()) == {1}


async def _back_as_standby(node: ClusterNode, observer: ClusterNode) -> None:
    """It has joined under a new id and follows the leader."""
    await eventually(lambda: f"{node.id}.2" in members(observer), PATIENCE)
    await eventually(lambda: cluster_map(node)["epoch"] == cluster_map(observer)["epoch"], PATIENCE)
    assert status(node)["service"]["leading"] is False
    assert cluster_map(observer)["leader"] not in (node.id, f"{node.id}.2")


@pytest.mark.parametrize("coordinators", [2, 3])
async def test_a_leader_that_was_stopped_while_a_gateway_died_stands_by(make_cluster: Any, coordinators: int) -> None:
    cluster: Cluster = make_cluster(gateways=3, coordinators=coordinators)
    safe, doomed, other = cluster.gateways
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(raw_worker(safe.url))
        events = await watch_workers(observer)
        maps = await stack.enter_async_context(watching_maps(safe))
        staying = [worker.worker_id for worker in await _connect(stack, other, 5)]
        lost = [worker.worker_id for worker in await _connect(stack, doomed, 20)]
        await _all_known(events, staying + lost)
        leader = leader_of(cluster)
        leader.pause()
        doomed.kill()
        await eventually(lambda: cluster_map(safe)["leader"] != leader.id, PATIENCE)
        await eventually(lambda: leader.id not in members(safe), PATIENCE)
        leader.resume()
        await _told_once(events, observer, lost)
        await _back_as_standby(leader, safe)
        async with raw_worker(other.url) as passing:
            await _all_known(events, [passing.worker_id])
        await _told_once(events, observer, [passing.worker_id])
        assert set(events.told(GONE, lost).values()) == {1}
        assert not events.told(GONE, staying)
        maps.check()


async def test_a_leader_that_is_stopped_in_the_middle_of_a_clean_up_does_not_finish_it(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(coordinators=2)
    safe, doomed = cluster.gateways
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(raw_worker(safe.url))
        events = await watch_workers(observer)
        maps = await stack.enter_async_context(watching_maps(safe))
        workers = await _connect(stack, doomed, 50)
        for number, worker in enumerate(workers):
            await worker.register(f"lost::f{number}", echo)
        await known(observer, *(f"lost::f{number}" for number in range(50)))
        lost = [worker.worker_id for worker in workers]
        await _all_known(events, lost)
        leader = leader_of(cluster)
        doomed.kill()
        await eventually(lambda: doomed.id not in members(safe))
        leader.pause()
        await eventually(lambda: leader.id not in members(safe), PATIENCE)
        await _told_once(events, observer, lost)
        leader.resume()
        await _back_as_standby(leader, safe)
        await _told_once(events, observer, lost)
        rows = (await observer.call("engine::functions::list", {}))["functions"]
        assert not [row for row in rows if row["function_id"].startswith("lost::")]
        maps.check()


@pytest.mark.parametrize("moment", ["the gateway is out of the map", "the first event is told", "some events are told"])
async def test_a_leader_killed_in_the_middle_of_a_clean_up_is_succeeded(make_cluster: Any, moment: str) -> None:
    cluster: Cluster = make_cluster(coordinators=2)
    safe, doomed = cluster.gateways
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(raw_worker(safe.url))
        events = await watch_workers(observer)
        lost = [worker.worker_id for worker in await _connect(stack, doomed, MANY)]
        await _all_known(events, lost)
        leader = leader_of(cluster)
        doomed.kill()
        reached = {
            "the gateway is out of the map": lambda: doomed.id not in members(safe),
            "the first event is told": lambda: events.told(GONE, lost),
            "some events are told": lambda: len(events.told(GONE, lost)) > MANY / 2,
        }
        await eventually(reached[moment], PATIENCE)
        leader.kill()
        await eventually(lambda: cluster_map(safe)["leader"] != leader.id, PATIENCE)
        await _told_once(events, observer, lost)
        async with raw_worker(safe.url) as passing:
            await _all_known(events, [passing.worker_id])
        await _told_once(events, observer, [passing.worker_id])
        assert set(events.told(GONE, lost).values()) == {1}
