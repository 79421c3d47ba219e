"""Shards die, hang, join and leave while jobs run every second: each tick comes exactly once.

The worker lives in this process: what blocks here makes its handlers slow, and ticks are skipped, as they should be.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.cluster import Cluster
from tests.support.raw import raw_worker
from tests.support.ticks import Ticks

JOBS = 24


@pytest.fixture
async def ticks(own_cluster: Cluster) -> AsyncIterator[Ticks]:
    """Jobs on both shards, whose worker is at the second gateway."""
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as worker, raw_worker(here.url) as observer:
        yield await Ticks(worker, [f"tick-{number}" for number in range(JOBS)]).begin(observer)


async def test_a_killed_shard_costs_no_tick(own_cluster: Cluster, ticks: Ticks) -> None:
    own_cluster.shards[0].kill()
    await ticks.more(6)
    assert ticks.wrong() == []


async def test_shards_that_are_killed_one_after_the_other_cost_no_tick(own_cluster: Cluster, ticks: Ticks) -> None:
    for round in range(3):
        await asyncio.to_thread(own_cluster.shards[round % 2].restart)
        await ticks.more(3)
    assert ticks.wrong() == []


async def test_while_no_shard_lives_ticks_wait(own_cluster: Cluster, ticks: Ticks) -> None:
    for shard in own_cluster.shards:
        shard.kill()
    await asyncio.to_thread(own_cluster.add_shard)
    await ticks.more(6)
    assert ticks.wrong() == []


async def test_a_shard_that_hangs_until_it_is_given_up_costs_no_tick(own_cluster: Cluster, ticks: Ticks) -> None:
    hanging = own_cluster.shards[0]
    hanging.pause()
    try:
        await ticks.more(5)  # the other one has taken over
    finally:
        hanging.resume()
    await ticks.more(5)
    assert ticks.wrong() == []


async def test_a_shard_that_joins_costs_no_tick(own_cluster: Cluster, ticks: Ticks) -> None:
    for _ in range(2):
        await asyncio.to_thread(own_cluster.add_shard)
        await ticks.more(3)
    assert ticks.wrong() == []


async def test_a_shard_that_drains_costs_no_tick(own_cluster: Cluster, ticks: Ticks) -> None:
    await asyncio.to_thread(own_cluster.add_shard)
    for shard in own_cluster.shards[:2]:
        await asyncio.to_thread(shard.stop)
        await ticks.more(3)
    assert ticks.wrong() == []


async def test_a_killed_coordinator_costs_no_tick(own_cluster: Cluster, ticks: Ticks) -> None:
    await asyncio.to_thread(own_cluster.coordinators[0].restart)
    await asyncio.to_thread(own_cluster.shards[1].restart)
    await ticks.more(6)
    assert ticks.wrong() == []
