"""The published stream clients against gateways that serve streams."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.sdks import ClientMissing
from tests.support.stream_clients import NEWEST_BROWSER, STREAM_CLIENTS, PublishedStreamClient, StreamClientBuild
from tests.support.streams import StreamCluster, StreamGateway, streams
from tests.support.valkey import ValkeyServer

Launch = Callable[[StreamClientBuild], PublishedStreamClient]


@pytest.fixture
async def cluster(valkey: ValkeyServer) -> AsyncIterator[StreamCluster]:
    async with streams(valkey.url) as cluster:
        yield cluster


@pytest.fixture
async def here(cluster: StreamCluster) -> StreamGateway:
    return await cluster.gateway()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    started: list[PublishedStreamClient] = []

    def launch(build: StreamClientBuild) -> PublishedStreamClient:
        try:
            started.append(PublishedStreamClient(build, tmp_path))
        except ClientMissing as missing:
            pytest.skip(str(missing))
        return started[-1]

    yield launch
    for program in started:
        program.close()


@pytest.fixture(params=STREAM_CLIENTS, ids=str)
async def client(request: pytest.FixtureRequest, launch: Launch, here: StreamGateway) -> PublishedStreamClient:
    program = launch(request.param)
    await program.open(here.port)
    return program


async def test_a_group_follows_what_is_stored(client: PublishedStreamClient, here: StreamGateway) -> None:
    await here.set("chat", "room", "m1", {"id": "m1", "n": 1})
    await client.group("g", "chat", "room")
    await client.event("state", name="g", state=[{"id": "m1", "n": 1}])
    await here.set("chat", "room", "m2", {"id": "m2", "n": 1})
    await client.event("state", name="g", state=[{"id": "m1", "n": 1}, {"id": "m2", "n": 1}])
    await here.set("chat", "room", "m1", {"id": "m1", "n": 2})
    await client.event("state", name="g", state=[{"id": "m1", "n": 2}, {"id": "m2", "n": 1}])
    await here.delete("chat", "room", "m1")
    await client.event("state", name="g", state=[{"id": "m2", "n": 1}])


async def test_an_item_follows_what_is_stored(client: PublishedStreamClient, here: StreamGateway) -> None:
    await here.set("chat", "room", "m1", {"id": "m1"})
    await client.item("i", "chat", "room", "m1")
    await client.event("state", name="i", state={"id": "m1"})
    await here.set("chat", "room", "m1", {"id": "m1", "n": 2})
    await client.event("state", name="i", state={"id": "m1", "n": 2})
    await here.delete("chat", "room", "m1")
    await client.event("state", name="i", state=None)


async def test_an_item_and_its_group_do_not_disturb_each_other(
    client: PublishedStreamClient, here: StreamGateway
) -> None:
    await client.group("g", "chat", "room")
    await client.event("state", name="g", state=[])
    await client.item("i", "chat", "room", "m1")
    await client.event("state", name="i", state=None)
    await here.set("chat", "room", "m1", {"id": "m1"})
    await client.event("state", name="i", state={"id": "m1"})
    await client.event("state", name="g", state=[{"id": "m1"}])


async def test_a_burst_of_changes_of_one_item_is_seen_in_full(
    client: PublishedStreamClient, here: StreamGateway
) -> None:
    """The client drops what is not newer than what it has: no two of these may have the same timestamp."""
    await client.item("i", "chat", "room", "m1")
    await client.event("state", name="i", state=None)
    for n in range(200):
        await here.set("chat", "room", "m1", n)
    for n in range(200):
        assert (await client.event("state", name="i"))["state"] == n


async def test_what_is_sent_reaches_the_listeners_of_its_type(
    client: PublishedStreamClient, here: StreamGateway
) -> None:
    await client.group("g", "chat", "room", "typing")
    await client.event("state", name="g", state=[])
    await here.send("chat", "room", "typing", {"who": "ana"})
    await client.event("custom", name="g", type="typing", data={"who": "ana"})


async def test_a_subscription_that_was_closed_gets_nothing(client: PublishedStreamClient, here: StreamGateway) -> None:
    await client.group("g", "chat", "room")
    await client.event("state", name="g", state=[])
    await client.ask("leave", name="g")
    await eventually(lambda: here.listener.describe()["subscriptions"] == 0)


async def test_a_client_that_is_sent_away_goes_on_elsewhere(
    client: PublishedStreamClient, here: StreamGateway, cluster: StreamCluster
) -> None:
    await here.set("chat", "room", "m1", {"id": "m1"})
    await client.group("g", "chat", "room")
    await client.event("state", name="g", state=[{"id": "m1"}])
    await client.item("i", "chat", "room", "m1")
    await client.event("state", name="i", state={"id": "m1"})
    there = await cluster.gateway(stream_port=here.port)
    await here.listener.stop(1.0)
    await there.set("chat", "room", "m1", {"id": "m1", "n": 2})
    await client.event("state", name="g", state=[{"id": "m1", "n": 2}])
    await client.event("state", name="i", state={"id": "m1", "n": 2})


async def test_a_client_that_offers_protocols_is_accepted(launch: Launch, here: StreamGateway) -> None:
    """A browser ends a connection whose server takes none of the protocols it was offered."""
    client = launch(NEWEST_BROWSER)
    await client.open(here.port, protocols=["Authorization", "token"])
    await client.group("g", "chat", "room")
    await client.event("state", name="g", state=[])
