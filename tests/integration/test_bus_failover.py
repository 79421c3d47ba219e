"""The bus through failovers and silent subscriptions: readiness tells, it heals, nothing is lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from iii_cluster.bus.endpoint import Endpoint, place
from iii_cluster.bus.service import Bus
from tests.support.bus import Inbox, MakeBus, send_until, started_buses
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.valkey import ValkeyServer


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    """A primary and its replica."""
    primary, replica = ValkeyServer(tmp_path, "primary"), ValkeyServer(tmp_path, "replica")
    primary.start()
    replica.start()
    replica.follow(primary)
    yield primary, replica
    primary.close()
    replica.close()


@pytest.fixture
async def proxy(servers: tuple[ValkeyServer, ValkeyServer]) -> AsyncIterator[Proxy]:
    async with Proxy(servers[0].port) as proxy:
        yield proxy


@pytest.fixture
async def make_bus(proxy: Proxy) -> AsyncIterator[MakeBus]:
    async with started_buses() as make:
        yield make


@asynccontextmanager
async def traffic(a: Bus, b: Bus) -> AsyncIterator[None]:
    """Envelopes both ways from before until after the block; each has to arrive once and in order."""
    at_a, at_b = Inbox(a), Inbox(b)
    end = asyncio.Event()
    sending = asyncio.gather(send_until(a, b.node_id, end), send_until(b, a.node_id, end))
    await asyncio.gather(at_a.hears.wait(), at_b.hears.wait())
    yield
    end.set()
    from_a, from_b = await sending
    await eventually(lambda: len(at_a.of(b.node_id)) >= from_b and len(at_b.of(a.node_id)) >= from_a)
    assert at_a.of(b.node_id) == list(range(from_b))
    assert at_b.of(a.node_id) == list(range(from_a))
    assert not at_a.resets
    assert not at_b.resets


class Readiness:
    """How often a bus was lost and restored."""

    def __init__(self, bus: Bus) -> None:
        self.changes: list[bool] = []
        bus.on_ready = self.changes.append

    @property
    def healed(self) -> bool:
        return False in self.changes and self.changes[-1]


def names(server: ValkeyServer) -> set[str]:
    return {client["name"] for client in server.clients() if client["name"]}


ALL = {"pub:a", "sub:a", "pub:b", "sub:b"}


async def test_killed_subscriptions_are_made_again(
    servers: tuple[ValkeyServer, ValkeyServer], proxy: Proxy, make_bus: MakeBus
) -> None:
    primary, _ = servers
    a, b = await make_bus("a", proxy.url), await make_bus("b", proxy.url)
    both = Readiness(a), Readiness(b)
    async with traffic(a, b):
        for _ in range(3):
            for readiness in both:
                readiness.changes.clear()
            primary.execute("CLIENT", "KILL", "TYPE", "pubsub")
            await eventually(lambda: all(readiness.healed for readiness in both))


async def test_a_demoted_primary_that_stays_up_is_left(
    servers: tuple[ValkeyServer, ValkeyServer], proxy: Proxy, make_bus: MakeBus
) -> None:
    primary, replica = servers
    a, b = await make_bus("a", proxy.url), await make_bus("b", proxy.url)
    both = Readiness(a), Readiness(b)
    async with traffic(a, b):
        replica.promote()
        proxy.target = replica.port
        await asyncio.to_thread(primary.follow, replica)
        await eventually(lambda: all(readiness.healed for readiness in both))
        await eventually(lambda: names(replica) == ALL)
        assert names(primary) == set()


async def test_a_subscription_left_behind_on_the_old_primary_is_moved(
    servers: tuple[ValkeyServer, ValkeyServer], proxy: Proxy, make_bus: MakeBus
) -> None:
    """It hears everything still, as the old primary repeats what the new one publishes. But nobody is counted."""
    primary, replica = servers
    a, b = await make_bus("a", proxy.url), await make_bus("b", proxy.url)
    both = Readiness(a), Readiness(b)
    async with traffic(a, b):
        replica.promote()
        await asyncio.to_thread(primary.follow, replica)
        proxy.target = replica.port
        for client in primary.clients():
            if client["name"].startswith("pub:"):
                primary.execute("CLIENT", "KILL", "ID", client["id"])
        await eventually(lambda: all(readiness.healed for readiness in both))
        await eventually(lambda: names(replica) == ALL and not names(primary))
    assert not a.unreachable("b")
    assert not b.unreachable("a")


async def test_nothing_is_ready_while_the_only_server_is_a_replica(
    servers: tuple[ValkeyServer, ValkeyServer], proxy: Proxy, make_bus: MakeBus
) -> None:
    primary, replica = servers
    a, b = await make_bus("a", proxy.url), await make_bus("b", proxy.url)
    async with traffic(a, b):
        replica.promote()
        await asyncio.to_thread(primary.follow, replica)
        await eventually(lambda: not a.ready and not b.ready)
        connections = proxy.connections
        await eventually(lambda: proxy.connections > connections + 4)
        assert not a.ready
        assert not b.ready
        primary.promote()
        await eventually(lambda: a.ready and b.ready)


async def test_a_subscription_whose_pushes_are_swallowed_is_not_ready_until_they_come_through(
    servers: tuple[ValkeyServer, ValkeyServer], proxy: Proxy, make_bus: MakeBus
) -> None:
    a, b = await make_bus("a", servers[0].url), await make_bus("b", proxy.url)
    async with traffic(a, b):
        proxy.swallow_pushes = True
        await eventually(lambda: not b.ready)
        connections = proxy.connections
        await eventually(lambda: proxy.connections > connections)
        assert not b.ready, "a new subscription alone proves nothing"
        proxy.swallow_pushes = False
        await eventually(lambda: b.ready)


async def test_broadcasts_are_proven_when_they_come_from_another_server(
    servers: tuple[ValkeyServer, ValkeyServer], proxy: Proxy, make_bus: MakeBus
) -> None:
    _, second = servers
    second.promote()
    urls = [proxy.url, second.url]
    places = [Endpoint(url).name for url in urls]
    there = next(node for n in range(100) if place(node := f"node-{n}", places) == 1)
    bus, other = await make_bus(there, *urls), await make_bus("other", *urls)
    maps: list[bytes] = []
    bus.on_map = maps.append
    other.publish_map(b"1")
    await eventually(lambda: maps == [b"1"])
    proxy.swallow_pushes = True
    other.publish_map(b"2")
    await eventually(lambda: not bus.ready)
    assert bus.disconnected_for(asyncio.get_running_loop().time()) == 0, "its mail is heard"
    proxy.swallow_pushes = False
    await eventually(lambda: bus.ready and other.ready)
    other.publish_map(b"3")
    await eventually(lambda: maps == [b"1", b"3"])
    await asyncio.gather(bus.stop(), other.stop())
