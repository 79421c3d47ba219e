"""What a test sees of a cluster while something is done to it: who leads, which maps there were, who came and went."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from tests.support import admin
from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import INTERVAL, eventually
from tests.support.raw import RawWorker

Version = tuple[int, int, str]  # term, epoch, leader


def cluster_map(node: ClusterNode) -> dict[str, Any]:
    """The newest map a node knows."""
    page: dict[str, Any] = admin.get(f"{node.admin_url}/cluster")[1]
    return page


def members(node: ClusterNode) -> set[str]:
    return {member["id"] for member in cluster_map(node)["nodes"]}


def status(node: ClusterNode) -> dict[str, Any]:
    page: dict[str, Any] = admin.get(f"{node.admin_url}/status")[1]
    return page


def leader_of(cluster: Cluster) -> ClusterNode:
    leader = cluster_map(cluster.gateways[0])["leader"]
    return next(node for node in cluster.coordinators if node.id == leader)


class Maps:
    """The maps one node has had, as far as they were looked at."""

    def __init__(self) -> None:
        self.versions: list[Version] = []

    def check(self) -> None:
        """One leader per term; terms and epochs only grow."""
        assert self.versions
        assert [version[:2] for version in self.versions] == sorted(version[:2] for version in self.versions)
        epochs = [epoch for _, epoch, _ in self.versions]
        assert epochs == sorted(epochs)
        assert len({(term, leader) for term, _, leader in self.versions}) == len({term for term, _, _ in self.versions})


@asynccontextmanager
async def watching_maps(node: ClusterNode) -> AsyncIterator[Maps]:
    maps = Maps()

    def look() -> None:
        page = cluster_map(node)
        version = (page["term"], page["epoch"], page["leader"])
        if version not in maps.versions[-1:]:
            maps.versions.append(version)

    async def keep_looking() -> None:
        while True:
            await asyncio.to_thread(look)
            await asyncio.sleep(INTERVAL)

    task = asyncio.create_task(keep_looking())
    try:
        yield maps
    finally:
        task.cancel()
        await asyncio.wait([task])


class WorkerEvents:
    """The events of engine::workers-available that one worker gets."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()  # (event, worker id)

    def take(self, frame: dict[str, Any]) -> None:
        self.counts[frame["data"]["event"], frame["data"]["worker_id"]] += 1

    def told(self, event: str, workers: Iterable[str]) -> dict[str, int]:
        """How often each of the workers was told of, without those that never were."""
        return {worker: count for worker in workers if (count := self.counts[event, worker])}


async def watch_workers(worker: RawWorker) -> WorkerEvents:
    """Events from now on."""
    events = WorkerEvents()
    await worker.register("watch::workers", events.take)
    trigger = {"id": "watch-workers", "trigger_type": "engine::workers-available", "function_id": "watch::workers"}
    await worker.send("registertrigger", **trigger, config=None)

    async def live() -> bool:
        rows = (await worker.call("engine::registered-triggers::list", {}))["registered_triggers"]
        return any(row["id"] == "watch-workers" and row["state"] == "live" for row in rows)

    await eventually(live)
    return events
