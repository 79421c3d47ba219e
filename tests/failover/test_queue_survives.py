"""Whatever dies while jobs run: none that got a receipt is lost, message groups keep their order, no queue runs more
jobs at once than it may."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.queue_load import ENVIRONMENT, job_load
from tests.support.valkey import ValkeyServer


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two gateways and two shards on a Valkey that keeps what it has acknowledged."""
    cluster = Cluster(tmp_path, env=ENVIRONMENT)
    cluster.valkey.close()
    cluster.valkey = ValkeyServer(tmp_path, durable=True)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


async def test_without_any_trouble_no_job_is_repeated(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        await load.more(50)
    assert load.repeated == 0


async def test_a_killed_shard_loses_no_job_and_repeats_none(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        for shard in (cluster.shards[0], cluster.shards[1], cluster.shards[0]):
            await asyncio.to_thread(shard.restart)
            await load.more()
    assert load.repeated == 0


async def test_jobs_wait_while_no_shard_lives(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        for shard in cluster.shards:
            shard.kill()
        await asyncio.to_thread(cluster.add_shard)
        await load.more()


async def test_a_shard_that_hangs_and_comes_back_disturbs_nobody(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        hanging = cluster.shards[0]
        hanging.pause()
        try:
            await load.more()  # the other one has taken over
        finally:
            hanging.resume()
        await load.more()
    assert load.repeated == 0


async def test_shards_that_join_and_drain_repeat_no_job(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        await asyncio.to_thread(cluster.add_shard)
        await load.more()
        for shard in cluster.shards[:2]:
            await asyncio.to_thread(shard.stop)
            await load.more()
    assert load.repeated == 0


async def test_a_killed_gateway_of_the_handler_loses_no_job(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        await asyncio.to_thread(cluster.gateways[1].restart)
        await load.more()


async def test_a_killed_gateway_of_the_sender_loses_no_job(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        await asyncio.to_thread(cluster.gateways[0].restart)
        await load.more()


async def test_a_gateway_and_a_shard_that_die_together_lose_no_job(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        cluster.gateways[1].kill()
        cluster.shards[0].kill()
        await asyncio.to_thread(cluster.gateways[1].restart)
        await asyncio.to_thread(cluster.shards[0].restart)
        await load.more()


async def test_a_redis_that_dies_and_returns_with_its_data_loses_no_job(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        for _ in range(3):
            await asyncio.to_thread(cluster.valkey.restart)
            await load.more()


async def test_a_redis_that_dies_together_with_the_shards_loses_no_job(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        for shard in cluster.shards:
            shard.kill()
        await asyncio.to_thread(cluster.valkey.restart)
        for shard in cluster.shards:
            await asyncio.to_thread(shard.restart)
        await load.more()
