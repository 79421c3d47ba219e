"""The records of who has joined: of gateways that live, that were taken for dead, and that have died."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.stream.departures import Departures
from tests.support.eventually import eventually
from tests.support.stream_client import stream_client
from tests.support.streams import StreamCluster, StreamGateway, streams
from tests.support.valkey import ValkeyServer

LEASES, DEAD, UNTOLD = "{iii}:stream-gateways", "{iii}:stream-gateways-dead", "{iii}:stream-gateways-untold"


@pytest.fixture
async def cluster(valkey: ValkeyServer) -> AsyncIterator[StreamCluster]:
    async with streams(valkey.url) as cluster:
        cluster.cluster.register("left", lambda _data: None)
        cluster.cluster.put(Trigger("leave", "stream:leave", "left", b'{"stream_name":"chat"}'))
        yield cluster


@pytest.fixture
async def here(cluster: StreamCluster) -> StreamGateway:
    return await cluster.gateway()


@pytest.fixture
async def shard(cluster: StreamCluster) -> Departures:
    """Looks when a test says so."""
    departures = (await cluster.shard()).modules[0]._departures  # type: ignore[attr-defined]
    await departures.stop()
    await departures.look()
    return departures  # type: ignore[no-any-return]


def tick(gateway: StreamGateway) -> None:
    gateway.listener.tick(gateway.listener.now + 1)


def told(cluster: StreamCluster) -> list[str]:
    return sorted(data["subscription_id"] for data in cluster.cluster.called("left"))


def leases(valkey: ValkeyServer) -> list[Any]:
    names: list[Any] = valkey.execute("ZRANGE", LEASES, 0, -1)
    return names


def end_leases(valkey: ValkeyServer) -> None:
    for name in leases(valkey):
        valkey.execute("ZADD", LEASES, 1, name)


def records(valkey: ValkeyServer) -> int:
    return sum(valkey.execute("HLEN", key) for key in valkey.execute("KEYS", "{iii}:stream-present:*"))


async def recorded(valkey: ValkeyServer, number: int) -> None:
    await eventually(lambda: records(valkey) == number)


def lasting(valkey: ValkeyServer) -> set[str]:
    """Keys of records that nothing would end."""
    known = {*leases(valkey), *valkey.execute("SMEMBERS", UNTOLD)}
    return {key for key in valkey.execute("KEYS", "{iii}:stream-present:*") if key.rpartition(":")[2] not in known}


async def test_a_gateway_without_clients_for_long_keeps_those_that_come_then(
    cluster: StreamCluster, here: StreamGateway, shard: Departures, valkey: ValkeyServer
) -> None:
    async with stream_client(here.port) as client:
        await client.follow("chat", "room", id="first")
        await recorded(valkey, 1)
    await recorded(valkey, 0)
    end_leases(valkey)
    await shard.look()
    async with stream_client(here.port) as client:
        await client.follow("chat", "room", id="second")
        for _ in range(3):
            tick(here)
            await client.silent()
        await recorded(valkey, 1)
        await shard.look()
        assert told(cluster) == ["first"]
        assert not lasting(valkey)
    await eventually(lambda: told(cluster) == ["first", "second"])
    await recorded(valkey, 0)


async def test_the_lease_is_prolonged_while_nobody_is_there(
    here: StreamGateway, shard: Departures, valkey: ValkeyServer
) -> None:
    async with stream_client(here.port) as client:
        await client.follow("chat", "room")
        await recorded(valkey, 1)
    await recorded(valkey, 0)
    end_leases(valkey)
    tick(here)
    await eventually(lambda: valkey.execute("ZCOUNT", LEASES, 2, "+inf"))
    await shard.look()
    assert len(leases(valkey)) == 1
    assert not valkey.execute("EXISTS", DEAD)


async def test_only_clients_whose_hooks_were_told_are_sent_away(
    cluster: StreamCluster, here: StreamGateway, shard: Departures, valkey: ValkeyServer
) -> None:
    async with stream_client(here.port) as gone, stream_client(here.port) as hooked, stream_client(here.port) as other:
        await gone.follow("chat", "room", id="gone")
        await other.follow("elsewhere", "room", id="other")
        await recorded(valkey, 1)
        end_leases(valkey)
        await shard.look()
        assert told(cluster) == ["gone"]
        await hooked.follow("chat", "room", id="hooked")  # nobody has told of this one
        tick(here)
        assert await gone.closed() == 1012
        await other.silent()
        await hooked.silent()
        await recorded(valkey, 1)
        assert told(cluster) == ["gone"]
    await eventually(lambda: told(cluster) == ["gone", "hooked"])
    await recorded(valkey, 0)


async def test_a_gateway_that_goes_on_takes_back_who_was_not_told_of_yet(
    cluster: StreamCluster,
    here: StreamGateway,
    shard: Departures,
    valkey: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iii_cluster.modules.stream.departures.PAGE", 1)
    asked, gate = asyncio.Event(), asyncio.Event()

    async def slow(_data: Any) -> None:
        asked.set()
        await gate.wait()

    cluster.cluster.register("left", slow)
    async with stream_client(here.port) as one, stream_client(here.port) as two:
        clients = {"one": one, "two": two}
        for id, client in clients.items():
            await client.follow("chat", "room", id=id)
        await recorded(valkey, 2)
        end_leases(valkey)
        looking = asyncio.create_task(shard.look())
        await asked.wait()
        (first,) = told(cluster)
        before = leases(valkey)
        tick(here)
        assert await clients.pop(first).closed() == 1012
        await eventually(lambda: leases(valkey) != before)
        gate.set()
        await looking
        await eventually(lambda: len(here.listener) == 1)
        await clients.popitem()[1].silent()
        assert told(cluster) == [first]
        await recorded(valkey, 1)
        assert not lasting(valkey)
    await eventually(lambda: told(cluster) == ["one", "two"])


async def test_after_an_outage_of_redis_nobody_is_taken_for_dead_at_once(
    cluster: StreamCluster, here: StreamGateway, shard: Departures, valkey: ValkeyServer
) -> None:
    async with stream_client(here.port) as client:
        await client.follow("chat", "room")
        await recorded(valkey, 1)
        end_leases(valkey)
        valkey.execute("DEL", "{iii}:stream-gateways-looked")  # it expires while nobody can look
        await shard.look()
        assert len(leases(valkey)) == 1
        assert not told(cluster)
        tick(here)
        await client.silent()
        end_leases(valkey)
        await shard.look()
        assert len(told(cluster)) == 1


async def test_all_are_recorded_anew_when_redis_lost_its_memory_before_somebody_joined(
    cluster: StreamCluster, here: StreamGateway, valkey: ValkeyServer
) -> None:
    async with stream_client(here.port) as client:
        for n in range(3):
            await client.follow("chat", "room", id=str(n))
        await recorded(valkey, 3)
        valkey.execute("FLUSHALL")
        await client.follow("chat", "room", id="3")
        await recorded(valkey, 4)
        assert not lasting(valkey)


async def test_a_gateway_that_stops_leaves_nothing_behind(cluster: StreamCluster, valkey: ValkeyServer) -> None:
    here = await cluster.gateway()
    async with stream_client(here.port) as client:
        await client.follow("chat", "room")
        await recorded(valkey, 1)
        await here.listener.stop(5.0)
    await here.host.shutdown()
    tick(here)
    assert not leases(valkey) + valkey.execute("KEYS", "{iii}:stream-present:*")


async def test_a_record_that_cannot_be_read_stops_nothing(
    cluster: StreamCluster, shard: Departures, valkey: ValkeyServer
) -> None:
    valkey.execute("ZADD", LEASES, 1, "stranger")
    valkey.execute("HSET", "{iii}:stream-present:stranger", "1", "{", "2", "[]")
    await shard.look()
    assert not valkey.execute("KEYS", "{iii}:stream-present:*")
    assert not valkey.execute("SMEMBERS", UNTOLD)


async def test_a_large_gateway_is_told_of_to_the_last_client(
    cluster: StreamCluster, here: StreamGateway, shard: Departures, valkey: ValkeyServer
) -> None:
    async with stream_client(here.port) as client:
        for n in range(900):
            await client.join("chat", "room", id=str(n))
        await recorded(valkey, 900)
        end_leases(valkey)
        await shard.look()
        assert len(told(cluster)) == 900
        await recorded(valkey, 0)
