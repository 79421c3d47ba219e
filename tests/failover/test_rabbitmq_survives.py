"""Jobs in RabbitMQ while shards, gateways and the broker die: none that got a receipt is lost, message groups keep
their order, no queue runs more jobs at once than it may."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.queue_load import ENVIRONMENT, job_load
from tests.support.rabbitmq import RabbitServer

MODULES = "III_CLUSTER_MODULES"


def with_rabbitmq(url: str) -> dict[str, str]:
    """A heartbeat of 2 s lets the test of a shard that hangs end sooner."""
    [entry] = json.loads(ENVIRONMENT[MODULES])
    entry["config"]["adapter"] = {"name": "rabbitmq", "config": {"amqp_url": f"{url}?heartbeat=2"}}
    return {MODULES: json.dumps([entry])}


@pytest.fixture
def cluster(tmp_path: Path, rabbitmq: RabbitServer) -> Iterator[Cluster]:
    """Two gateways and two shards. Every test begins and ends with empty queues."""
    cluster = Cluster(tmp_path, env=with_rabbitmq(rabbitmq.url))
    try:
        yield cluster.start()
    finally:
        cluster.stop()


async def test_shards_that_die_join_and_drain_lose_no_job_and_repeat_none(cluster: Cluster) -> None:
    async with job_load(cluster) as load:
        for shard in (cluster.shards[0], cluster.shards[1]):
            await asyncio.to_thread(shard.restart)
            await load.more()
        await asyncio.to_thread(cluster.add_shard)
        for shard in cluster.shards[:2]:
            await asyncio.to_thread(shard.stop)
            await load.more()
    assert load.repeated == 0


async def test_a_shard_that_hangs_and_comes_back_disturbs_nobody(cluster: Cluster) -> None:
    """The broker waits for two heartbeats before it gives the jobs of a silent shard to another."""
    async with job_load(cluster) as load:
        hanging = cluster.shards[0]
        hanging.pause()
        try:
            await load.more()
        finally:
            hanging.resume()
        await load.more()
    assert load.repeated == 0


async def test_killed_gateways_and_a_killed_broker_lose_no_job(cluster: Cluster, rabbitmq: RabbitServer) -> None:
    async with job_load(cluster) as load:
        for gateway in (cluster.gateways[1], cluster.gateways[0]):
            await asyncio.to_thread(gateway.restart)
            await load.more()
        await asyncio.to_thread(rabbitmq.restart)
        await load.more()
