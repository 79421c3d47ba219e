"""Clients of the stream port of two gateways, over real sockets and a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import InvalidMessage

from tests.support.eventually import eventually
from tests.support.stream_client import stream_client
from tests.support.streams import StreamCluster, StreamGateway, followed, streams
from tests.support.valkey import ValkeyServer


@pytest.fixture
async def cluster(valkey: ValkeyServer) -> AsyncIterator[StreamCluster]:
    async with streams(valkey.url) as cluster:
        yield cluster


@pytest.fixture
async def here(cluster: StreamCluster) -> StreamGateway:
    return await cluster.gateway()


@pytest.fixture
async def there(cluster: StreamCluster) -> StreamGateway:
    return await cluster.gateway()


async def test_the_changes_of_an_item_reach_clients_of_any_gateway(here: StreamGateway, there: StreamGateway) -> None:
    async with stream_client(here.port) as a, stream_client(there.port) as b:
        assert await a.follow("chat", "room", "m1") is None
        assert await b.follow("chat", "room", "m1") is None
        await here.set("chat", "room", "m1", {"n": 1})
        await there.set("chat", "room", "m1", {"n": 2})
        await here.delete("chat", "room", "m1")
        for client in (a, b):
            expected = [("create", {"n": 1}), ("update", {"n": 2}), ("delete", {"n": 2})]
            assert await client.changes(3) == expected


async def test_messages_have_the_envelope_of_one_engine(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        await client.join("chat", "room")
        sync = await client.next()
        await here.set("chat", "room", "m1", {"id": "m1"})
        change = await client.next()
        await here.send("chat", "room", "typing", {"who": "ana"})
        sent = await client.next()
    assert sync["timestamp"] < change["timestamp"] <= sent["timestamp"]
    place = {"type": "stream", "streamName": "chat", "groupId": "room"}
    assert sync == place | {"timestamp": sync["timestamp"], "id": None, "event": {"type": "sync", "data": []}}
    created = {"type": "create", "data": {"id": "m1"}}
    assert change == place | {"timestamp": change["timestamp"], "id": "m1", "event": created}
    typing = {"type": "event", "event": {"type": "typing", "data": {"who": "ana"}}}
    assert sent == place | {"timestamp": sent["timestamp"], "id": None, "event": typing}


async def test_a_subscription_begins_with_what_is_there(here: StreamGateway) -> None:
    await here.set("chat", "room", "m1", {"id": "m1"})
    await here.set("chat", "room", "m2", None)
    async with stream_client(here.port) as client:
        assert await client.follow("chat", "room", "m1", id="a") == {"id": "m1"}
        assert await client.follow("chat", "room", "m2", id="b") is None
        assert sorted(map(str, await client.follow("chat", "room", id="c"))) == ["None", "{'id': 'm1'}"]
        assert await client.follow("chat", "empty", id="d") == []


async def test_a_client_gets_one_copy_for_each_of_its_subscriptions(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        await client.follow("chat", "room", id="group")
        await client.follow("chat", "room", "m1", id="item")
        await client.follow("chat", "other", id="other")
        await here.set("chat", "room", "m1", 1)
        await here.set("chat", "room", "m2", 2)
        await here.send("chat", "room", "t", None)
        assert await client.changes(4) == [("create", 1), ("create", 1), ("create", 2), ("event", None)]
        await client.silent()


async def test_nothing_comes_after_leaving(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        await client.follow("chat", "room", id="a")
        await client.follow("chat", "room", "m1", id="b")
        await client.leave("chat", "room", id="a")
        await client.silent()
        await here.set("chat", "room", "m1", 1)
        assert await client.changes(1) == [("create", 1)]
        await client.silent()


async def test_a_join_with_a_known_id_replaces_the_subscription(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        await client.follow("chat", "one", id="a")
        await client.follow("chat", "two", id="a")
        await here.set("chat", "one", "m", 1)
        await here.set("chat", "two", "m", 2)
        assert await client.changes(1) == [("create", 2)]


async def test_names_with_colons_are_streams_and_groups_of_their_own(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        await client.follow("a:b", "c", id="1")
        await client.follow("a", "b:c", id="2")
        await here.set("a:b", "c", "m", 1)
        message = await client.next()
        assert (message["streamName"], message["groupId"]) == ("a:b", "c")
        await client.silent()


async def test_what_means_nothing_is_ignored(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        for text in ("", "  ", "{", "null", "[1]", '{"type":"join"}', '{"type":"join","data":{"subscriptionId":1}}'):
            await client.socket.send(text)
        await client.socket.send('{"type":"other","data":{}}')
        await client.socket.send(b"\xff\xfe")
        await client.socket.send("[" * 50_000)
        await client.socket.send(
            b'{"type":"join","data":{"subscriptionId":"b","streamName":"s","groupId":"g","id":null}}'
        )
        assert (await client.expect("sync"))["id"] is None
        await (await client.socket.ping())


async def test_a_message_in_fragments_is_one_message(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        join = '{"type":"join","data":{"subscriptionId":"b","streamName":"s","groupId":"g"}}'
        await client.socket.send([join[:10], "", join[10:]])
        await client.expect("sync")


async def test_a_message_that_is_too_long_ends_the_connection(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        await client.socket.send("x" * 100_000)
        assert await client.closed() == 1009


async def test_any_path_is_served_and_the_first_protocol_is_taken(here: StreamGateway) -> None:
    async with stream_client(here.port, "/stream/chat/room/?a=b", subprotocols=["token", "other"]) as client:
        assert client.socket.subprotocol == "token"
        await client.follow("chat", "room")


async def test_every_item_has_increasing_timestamps_and_all_clients_see_the_same_order(
    here: StreamGateway, there: StreamGateway
) -> None:
    async with stream_client(here.port) as a, stream_client(there.port) as b:
        await a.follow("chat", "room")
        await b.follow("chat", "room")
        writes = [here.set("chat", "room", f"m{n % 3}", n) for n in range(0, 300, 2)]
        writes += [there.set("chat", "room", f"m{n % 3}", n) for n in range(1, 300, 2)]
        await asyncio.gather(*writes)
        seen = [[await client.next() for _ in range(300)] for client in (a, b)]
    assert seen[0] == seen[1]
    for item in ("m0", "m1", "m2"):
        stamps = [message["timestamp"] for message in seen[0] if message["id"] == item]
        assert stamps == sorted(set(stamps))
        last = [message["event"]["data"] for message in seen[0] if message["id"] == item][-1]
        assert await here.call("stream::get", {"stream_name": "chat", "group_id": "room", "item_id": item}) == last


async def test_who_joins_amid_changes_ends_with_the_stored_values(here: StreamGateway, there: StreamGateway) -> None:
    """The snapshot and what follows it fit together at every moment."""
    items = [f"m{n}" for n in range(5)]
    last = dict.fromkeys(items, 1000000)  # what ends the waits
    writing = True

    async def write() -> None:
        n = 0
        while writing:
            n += 1
            item = items[n % 5]
            await there.set("chat", "room", item, {"id": item, "n": n})
        for item, n in last.items():
            await there.set("chat", "room", item, {"id": item, "n": n})

    async def join() -> dict[str, int]:
        async with stream_client(here.port) as client:
            state = {row["id"]: row["n"] for row in await client.follow("chat", "room")}
            while state != last:
                data = (await client.next())["event"]["data"]
                assert data["n"] > state.get(data["id"], 0), "an event undid the snapshot, or came twice"
                state[data["id"]] = data["n"]
            return state

    writer = asyncio.create_task(write())
    joins = []
    for _ in range(20):
        joins.append(asyncio.create_task(join()))
        await asyncio.sleep(0.005)
    writing = False
    await writer
    for task in joins:
        assert await task == last


async def test_a_large_value_comes_as_a_fresh_beginning(here: StreamGateway, there: StreamGateway) -> None:
    large = {"id": "m1", "text": "x" * 5_000_000}
    async with stream_client(there.port) as client:
        await client.follow("chat", "room", "m1", id="item")
        await here.set("chat", "room", "m1", large)
        assert await client.changes(1) == [("sync", large)]
        await here.set("chat", "room", "m1", {"id": "m1"})
        assert await client.changes(1) == [("update", {"id": "m1"})]


async def test_a_group_of_many_thousand_items_is_read_in_pages(here: StreamGateway) -> None:
    await asyncio.gather(*(here.set("chat", "room", f"m{n}", n) for n in range(10_500)))
    async with stream_client(here.port) as client:
        assert sorted(await client.follow("chat", "room")) == list(range(10_500))


async def test_a_group_that_is_too_large_for_a_message_has_no_beginning(
    cluster: StreamCluster, valkey: ValkeyServer
) -> None:
    here = await cluster.gateway(max_message_bytes=1000)
    await here.set("chat", "room", "m1", "x" * 2000)
    async with stream_client(here.port) as client:
        await client.join("chat", "room")
        await followed(valkey, "chat", "room")
        await here.set("chat", "room", "m2", 2)
        assert await client.changes(1) == [("create", 2)]


async def test_what_strangers_publish_does_no_harm(here: StreamGateway, valkey: ValkeyServer) -> None:
    async with stream_client(here.port) as client:
        await client.follow("chat", "room")
        for text in ("", "{", '{"timestamp":"x"}', "[]"):
            assert valkey.execute("PUBLISH", "{iii}:stream-events:chat:room", text) == 1
        await here.set("chat", "room", "m2", 2)
        assert await client.changes(1) == [("create", 2)]


async def test_large_messages_are_fragmented(here: StreamGateway) -> None:
    for n in range(5):
        await here.set("chat", "room", f"m{n}", "x" * 4_000_000)
    async with stream_client(here.port) as client:
        client.socket.protocol.max_fragment_size = 16 * 2**20
        assert len(await client.follow("chat", "room")) == 5


async def test_clients_are_told_again_what_is_there_after_redis_was_away(
    cluster: StreamCluster, valkey: ValkeyServer
) -> None:
    here, there = await cluster.gateway(), await cluster.gateway()
    async with stream_client(here.port) as client:
        await client.follow("chat", "room", id="group")
        await client.follow("chat", "room", "m1", id="item")
        before = (await _last(client))["timestamp"]
        for connection in valkey.clients():
            if connection["name"].startswith(f"streams:{here.engine.node}"):
                valkey.execute("CLIENT", "KILL", "ID", connection["id"])
        await there.set("chat", "room", "m1", {"id": "m1"})
        await client.until([{"id": "m1"}])
        await there.set("chat", "room", "m1", {"id": "m1", "n": 2})
        await client.until({"id": "m1", "n": 2})
        assert all(message["timestamp"] > before for message in client.all[2:])


async def test_clients_end_with_what_is_stored_when_redis_lost_everything(
    cluster: StreamCluster, valkey: ValkeyServer
) -> None:
    here = await cluster.gateway()
    await here.set("chat", "room", "m1", 1)
    async with stream_client(here.port) as client:
        assert await client.follow("chat", "room", "m1") == 1
        before = (await _last(client))["timestamp"]
        valkey.restart()
        sync = await client.expect("sync")
        assert sync["event"]["data"] is None
        assert sync["timestamp"] > before
        await here.set("chat", "room", "m1", 2)
        assert await client.changes(1) == [("create", 2)]


async def _last(client: Any) -> dict[str, Any]:
    message: dict[str, Any] = client.all[-1]
    return message


async def test_a_client_that_does_not_read_delays_nobody_and_is_told_what_it_missed(
    cluster: StreamCluster,
) -> None:
    here = await cluster.gateway(send_high_water=2**16)
    async with stream_client(here.port) as slow, stream_client(here.port) as quick:
        await slow.follow("chat", "room", "m1")
        await quick.follow("chat", "room", "m1")
        slow.socket.transport.pause_reading()
        for n in range(400):
            await here.set("chat", "room", "m1", {"n": n, "text": "x" * 100_000})
            await quick.until({"n": n, "text": "x" * 100_000})
        assert here.listener.describe()["congested"] == 1
        slow.socket.transport.resume_reading()
        await slow.until({"n": 399, "text": "x" * 100_000})
        assert len(slow.all) < 400
        await here.set("chat", "room", "m1", "end")
        assert await slow.changes(1) == [("update", "end")]


async def test_a_client_that_never_reads_again_is_cut_off(cluster: StreamCluster) -> None:
    here = await cluster.gateway(send_high_water=2**16)
    async with stream_client(here.port) as slow:
        await slow.follow("chat", "room", "m1")
        slow.socket.transport.pause_reading()
        while not here.listener.describe()["congested"]:
            await here.set("chat", "room", "m1", "x" * 500_000)
        here.listener.tick(here.listener.now + 1)
        assert len(here.listener) == 1
        here.listener.tick(here.listener.now + 11)
        await eventually(lambda: len(here.listener) == 0)
        slow.socket.transport.abort()


async def test_silent_clients_are_asked_whether_they_live(here: StreamGateway) -> None:
    async with stream_client(here.port) as client:
        await client.follow("chat", "room")
        now = here.listener.now
        here.listener.tick(now + 21)
        await client.silent()
        here.listener.tick(now + 42)
        await client.silent()
        client.socket.transport.pause_reading()
        now = here.listener.now
        here.listener.tick(now + 21)
        here.listener.tick(now + 42)
        await eventually(lambda: len(here.listener) == 0)
        client.socket.transport.abort()


async def test_a_socket_that_never_asks_for_anything_is_cut_off(here: StreamGateway) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
    await eventually(lambda: len(here.listener) == 1)
    here.listener.tick(here.listener.now + 60)
    await eventually(lambda: len(here.listener) == 0)
    writer.close()


async def test_connections_and_subscriptions_have_a_limit(cluster: StreamCluster) -> None:
    here = await cluster.gateway({"max_connections": 1, "max_subscriptions": 2})
    async with stream_client(here.port) as client:
        await client.follow("chat", "a", id="1")
        await client.follow("chat", "b", id="2")
        await client.join("chat", "c", id="3")
        assert (await client.expect("unauthorized"))["groupId"] == "c"
        await client.follow("chat", "d", id="2")
        with pytest.raises((ConnectionError, InvalidMessage)):
            async with stream_client(here.port):
                pass


async def test_leaving_and_closing_forget_everything(here: StreamGateway, valkey: ValkeyServer) -> None:
    async with stream_client(here.port) as client:
        for n in range(50):
            await client.follow("chat", f"room-{n}", id=str(n))
        for n in range(25):
            await client.leave("chat", f"room-{n}", id=str(n))
        await client.silent()
        assert here.listener.describe()["groups"] == 25
        assert here.listener.describe()["subscriptions"] == 25
    await eventually(lambda: here.listener.describe() == dict.fromkeys(here.listener.describe(), 0))

    def channels() -> list[str]:
        found: list[str] = valkey.execute("PUBSUB", "CHANNELS", "*stream-events*")
        return found

    await eventually(lambda: not channels())


async def test_a_gateway_that_stops_sends_its_clients_elsewhere(cluster: StreamCluster) -> None:
    here = await cluster.gateway()
    async with stream_client(here.port) as client:
        await client.follow("chat", "room")
        await here.listener.stop(5.0)
        assert await client.closed() == 1012


async def test_the_port_is_shared_by_gateways_and_occupied_for_others(cluster: StreamCluster) -> None:
    here = await cluster.gateway()
    await cluster.gateway(stream_port=here.port)
    stranger = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = stranger.sockets[0].getsockname()[1]
    with pytest.raises(OSError, match="ddress"):
        await cluster.gateway(stream_port=port)
    stranger.close()
    await stranger.wait_closed()
