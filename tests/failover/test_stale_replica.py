"""A replica takes over that has missed the newest: who joined and left, and who leads."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import admin
from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.valkey import ValkeyServer

FOR_EVER = 2**52  # ms since 1970


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Proxy(0) as proxy:
        yield proxy


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    replica = ValkeyServer(tmp_path, "replica")
    await asyncio.to_thread(replica.start)
    yield replica
    await asyncio.to_thread(replica.close)


@pytest.fixture
async def cluster(tmp_path: Path, proxy: Proxy, replica: ValkeyServer) -> AsyncIterator[Cluster]:
    """Two of each role, behind the proxy; the replica, which outlives it, follows its server."""
    cluster = Cluster(tmp_path, coordinators=2, options={"redis-url": proxy.url})
    proxy.target = cluster.valkey.port
    await asyncio.to_thread(cluster.start)
    await asyncio.to_thread(replica.follow, cluster.valkey)
    yield cluster
    await asyncio.to_thread(cluster.stop)


async def _page(node: ClusterNode, path: str) -> tuple[int, Any]:
    return await asyncio.to_thread(admin.get, node.admin_url + path)


async def _map(node: ClusterNode) -> dict[str, Any]:
    page: dict[str, Any] = (await _page(node, "/cluster"))[1]
    return page


def _ids(current: dict[str, Any]) -> set[str]:
    return {node["id"] for node in current["nodes"]}


async def test_nobody_is_lost_and_nobody_comes_back(cluster: Cluster, proxy: Proxy, replica: ValkeyServer) -> None:
    observer, dead = cluster.gateways
    leading = (await _map(observer))["leader"]
    leader = next(node for node in cluster.coordinators if node.id == leading)
    replica.promote()  # from here on it misses everything
    joined = await asyncio.to_thread(cluster.add_shard)
    dead.kill()
    leader.kill()
    alive = [node for node in cluster.nodes if node not in (dead, leader)]

    async def settled() -> bool:
        current = await _map(observer)
        return _ids(current) == {node.id for node in alive} and joined.id in current["slots"]

    await eventually(settled)
    before = await _map(observer)
    # However long the leases of the dead lasted, in the memory of the replica.
    for node in (dead, leader):
        replica.execute("ZADD", "{test}:leases", FOR_EVER, node.id)
    cluster.valkey.kill()
    proxy.target = replica.port

    async def healed() -> bool:
        current = await _map(observer)
        # Never anybody else, not for a moment.
        if _ids(current) != _ids(before):
            raise ValueError(f"{_ids(before)} became {_ids(current)}")
        pages = [await _page(node, "/readyz") for node in alive]
        return int(replica.execute("GET", "{test}:term")) >= before["term"] and all(
            status == 200 for status, _ in pages
        )

    await eventually(healed, within=40)
    current = await _map(observer)
    assert (current["term"], current["epoch"]) >= (before["term"], before["epoch"])
    assert [(await _page(node, "/status"))[1]["id"] for node in alive] == [node.id for node in alive]

    await eventually(lambda: set(replica.execute("ZRANGE", "{test}:leases", 0, -1)) == {node.id for node in alive})
    await asyncio.to_thread(cluster.add_gateway)
