"""A shard or a coordinator is stopped gracefully: nobody notices."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.history import History, calling
from tests.support.raw import RawWorker, echo, known, raw_worker
from tests.support.watcher import cluster_map, leader_of, members, watch_workers, watching_maps

FUNCTIONS = 4000  # more than are called during a drain
PACE = 0.005  # seconds between two calls
AT_ONCE = 3


class FirstCalls:
    """Calls functions one after the other, each for the first time: no route is ever cached."""

    def __init__(self, caller: RawWorker, functions: Iterator[str]) -> None:
        self.history = History()
        self._caller = caller
        self._functions = functions
        self._going_on = True
        self._tasks = [asyncio.create_task(self._call()) for _ in range(AT_ONCE)]

    async def _call(self) -> None:
        for number, function in enumerate(self._functions):
            if not self._going_on:
                return
            await self.history.record(number, self._caller, function)
            await asyncio.sleep(PACE)

    async def end(self) -> History:
        self._going_on = False
        await asyncio.gather(*self._tasks)
        return self.history


async def _registered(callee: RawWorker, caller: RawWorker, count: int) -> list[str]:
    functions = [f"first::f{number}" for number in range(count)]
    for function in functions:
        await callee.register(function, echo)
    await callee.flush()
    await known(caller, *functions)
    return functions


async def _stop(node: ClusterNode) -> str:
    """SIGTERM; returns what it wrote, when it has ended."""
    node.terminate()
    assert await asyncio.to_thread(node.wait) == 0
    return node.log.read_text()


def _owners(node: ClusterNode) -> set[str]:
    return set(cluster_map(node)["slots"])


def _owns_nothing(shard: ClusterNode, observer: ClusterNode) -> bool:
    return shard.id not in _owners(observer)


async def test_first_calls_and_registrations_do_not_notice_a_shard_that_drains(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(shards=3)
    here, there = cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller, raw_worker(there.url) as registrar:
        functions = await _registered(callee, caller, FUNCTIONS)
        fresh: list[str] = []
        calls = FirstCalls(caller, iter(functions))
        await calls.history.more(20)
        for shard in cluster.shards[:2]:
            before = calls.history.answered
            stopping = asyncio.create_task(_stop(shard))
            while not stopping.done():
                fresh.append(f"fresh::f{len(fresh)}")
                await registrar.register(fresh[-1], echo)
                await asyncio.sleep(PACE)
            log = await stopping
            assert "action=slots_given_away" in log
            assert "action=slots_kept" not in log
            await eventually(partial(_owns_nothing, shard, here))
            assert calls.history.answered > before
        history = await calls.end()
        await known(caller, *fresh)
        assert [(await caller.call(function, {"n": 1}))["n"] for function in fresh] == [1] * len(fresh)
    assert not history.failed
    assert not history.mixed_up
    await eventually(lambda: _owners(here) == {cluster.shards[2].id})


async def test_the_last_shard_stops_at_once_and_cached_routes_go_on(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(shards=1)
    here, there = cluster.gateways
    (shard,) = cluster.shards
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        functions = await _registered(callee, caller, 20)
        async with calling(caller, functions[0]) as history:
            await history.more()
            log = await _stop(shard)
            assert "action=slots_given_away" not in log
            await eventually(lambda: shard.id not in members(here))
            await history.more()
            first = asyncio.create_task(caller.call(functions[1], {"n": 1}, within=20))
            cluster.add_shard()
            assert (await first)["n"] == 1
            await history.more()
        await known(caller, *functions)
    assert not history.failed


async def test_a_shard_is_replaced_by_another(make_cluster: Any) -> None:
    """Make before break, as a rolling restart does."""
    cluster: Cluster = make_cluster(shards=1)
    here, there = cluster.gateways
    (shard,) = cluster.shards
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        functions = await _registered(callee, caller, 1000)
        calls = FirstCalls(caller, iter(functions))
        await calls.history.more(20)
        successor = await asyncio.to_thread(cluster.add_shard)
        assert "action=slots_given_away" in await _stop(shard)
        await eventually(lambda: _owners(here) == {successor.id})
        history = await calls.end()
        await known(caller, *functions)
    assert not history.failed


async def test_a_leader_that_drains_hands_over_to_a_standby(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=2, coordinators=2)
    here, there = cluster.gateways
    async with raw_worker(here.url) as observer, raw_worker(there.url) as callee, watching_maps(here) as maps:
        events = await watch_workers(observer)
        await callee.register("steady::f", echo)
        await known(observer, "steady::f")
        async with calling(observer, "steady::f") as history:
            await history.more()
            leader = leader_of(cluster)
            await _stop(leader)
            await eventually(lambda: cluster_map(here)["leader"] not in ("", leader.id))
            await eventually(lambda: leader.id not in members(here))
            async with raw_worker(there.url) as passing:
                await eventually(lambda: events.told("worker_connected", [passing.worker_id]))
            await eventually(lambda: events.told("worker_disconnected", [passing.worker_id]))
            await history.more()
    assert not history.failed
    assert not events.told("worker_disconnected", [callee.worker_id])
    maps.check()
