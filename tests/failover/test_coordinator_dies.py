"""The leading coordinator is killed: calls go on, a standby takes over and finishes what was begun."""

import json
import urllib.request
from typing import Any

import redis

from iii_cluster.cluster.keys import Keys
from tests.support.cluster import CLUSTER_NAME, Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.history import calling
from tests.support.raw import RawWorker, echo, known, raw_worker, workers_listed


def _map(node: ClusterNode) -> Any:
    with urllib.request.urlopen(f"{node.admin_url}/cluster", timeout=30) as answer:
        return json.load(answer)


def _leader(cluster: Cluster) -> ClusterNode:
    leader = _map(cluster.gateways[0])["leader"]
    return next(node for node in cluster.coordinators if node.id == leader)


def _recorded(cluster: Cluster, worker_id: str) -> bool:
    """The leader has written down that this worker is connected."""
    with redis.Redis.from_url(cluster.valkey.url) as client:
        return bool(client.hexists(Keys(CLUSTER_NAME).workers, worker_id))


async def _functions(worker: RawWorker) -> set[str]:
    return {row["function_id"] for row in (await worker.call("engine::functions::list", {}))["functions"]}


async def test_a_standby_leads_and_calls_do_not_notice(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(coordinators=2)
    here, there = cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        await callee.register("steady::f", echo)
        await known(caller, "steady::f")
        async with calling(caller, "steady::f") as history:
            await history.more()
            leader = _leader(cluster)
            term = _map(here)["term"]
            leader.kill()
            await eventually(lambda: _map(here)["leader"] not in ("", leader.id))
            await history.more()
        assert _map(here)["term"] > term
    assert not history.failed
    assert not history.mixed_up


async def test_a_worker_that_leaves_while_nobody_leads_is_cleaned_up(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(coordinators=1)
    here, there = cluster.gateways
    async with raw_worker(here.url) as observer:
        async with raw_worker(there.url) as leaving:
            await leaving.register("brief::f", echo)
            await known(observer, "brief::f")
            cluster.coordinators[0].kill()
        async with raw_worker(there.url) as unrecorded:
            await unrecorded.register("briefer::f", echo)
            await known(observer, "briefer::f")
        cluster.add_coordinator()

        async def gone() -> bool:
            return not {"brief::f", "briefer::f"} & await _functions(observer)

        await eventually(gone)

        async def unlisted() -> bool:  # last of all
            return not {leaving.worker_id, unrecorded.worker_id} & await workers_listed(observer)

        await eventually(unlisted)


async def test_a_gateway_and_the_leader_killed_together_leave_nothing(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(coordinators=2)
    doomed, safe = cluster.gateways
    async with raw_worker(safe.url) as observer, raw_worker(doomed.url) as lost:
        events: list[Any] = []
        await observer.register("watch::workers", lambda frame: events.append(frame["data"]))
        trigger = {"id": "w", "trigger_type": "engine::workers-available", "function_id": "watch::workers"}
        await observer.send("registertrigger", **trigger)
        await lost.register("lost::f", echo)
        await known(observer, "lost::f")
        await eventually(lambda: _recorded(cluster, lost.worker_id))
        leader = _leader(cluster)
        leader.kill()
        doomed.kill()

        async def gone() -> bool:
            return "lost::f" not in await _functions(observer)

        await eventually(gone)
        await eventually(lambda: {"event": "worker_disconnected", "worker_id": lost.worker_id} in events)
