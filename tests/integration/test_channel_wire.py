"""Channels over real processes: sockets on either of two gateways."""

import asyncio
import itertools
from contextlib import suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.channels import address, closed, create, end, everything
from tests.support.cluster import Cluster
from tests.support.raw import CallFailed, raw_worker

# Gateways of the creator, the writer and the reader.
PLACES = list(itertools.product((0, 1), repeat=3))


async def _refused(url: str) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url)
    return refused.value.response.status_code, bytes(refused.value.response.body or b"")


async def _send_for_ever(sink: ClientConnection, message: str | bytes) -> None:
    while True:
        await sink.send(message)
        await asyncio.sleep(0)


@pytest.mark.parametrize(("creator", "writing", "reading"), PLACES)
async def test_messages_arrive_in_order_as_they_were_sent(
    shared_cluster: Cluster, creator: int, writing: int, reading: int
) -> None:
    urls = [gateway.url for gateway in shared_cluster.gateways]
    sent: list[str | bytes] = ["", b"", "text é", b"\x00binary", b"OTLP is no telemetry here", b"x" * 200_000, "y" * 9]
    sent += [f"{number}" for number in range(500)]
    async with raw_worker(urls[creator]) as worker:
        writer, reader = await create(worker)
        async with end(urls[reading], reader) as source, end(urls[writing], writer) as sink:

            async def write() -> None:
                for message in sent:
                    await sink.send(message)
                await sink.close(1000, "done")

            writing_task = asyncio.create_task(write())
            received, code = await everything(source)
            await writing_task
    assert received == sent
    assert (code, source.close_reason) == (1000, "done")


@pytest.mark.parametrize(("creator", "writing", "reading"), [(0, 0, 0), (0, 1, 1), (1, 0, 1)])
async def test_a_writer_may_send_and_leave_before_a_reader_comes(
    shared_cluster: Cluster, creator: int, writing: int, reading: int
) -> None:
    urls = [gateway.url for gateway in shared_cluster.gateways]
    async with raw_worker(urls[creator]) as worker:
        writer, reader = await create(worker)
        async with end(urls[writing], writer) as sink:
            for number in range(50):
                await sink.send(f"{number}")
        async with end(urls[reading], reader) as source:
            assert await everything(source) == ([f"{number}" for number in range(50)], 1000)


async def test_a_channel_is_gone_when_it_was_read_to_its_end(shared_cluster: Cluster) -> None:
    url = shared_cluster.gateways[0].url
    async with raw_worker(url) as worker:
        writer, reader = await create(worker)
        async with end(url, reader) as source:
            async with end(url, writer):
                pass
            assert await everything(source) == ([], 1000)
    for gateway in shared_cluster.gateways:  # let in: some clients end their whole process when they are refused
        async with end(gateway.url, reader) as late:
            assert await closed(late) == (1011, "the channel is over")
        async with end(gateway.url, writer) as late:
            await late.send("for nobody")
            await (await late.ping())
        assert late.close_code == 1000
        async with end(gateway.url, writer) as late:
            with suppress(ConnectionClosed):
                for _ in range(40):
                    await late.send(bytes(2**20))
            assert await closed(late) == (1011, "the channel is over")


@pytest.mark.parametrize("gateway", [0, 1])
async def test_who_has_no_right_gets_no_socket(shared_cluster: Cluster, gateway: int) -> None:
    url = shared_cluster.gateways[gateway].url
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        writer, _ = await create(worker)
        other, _ = await create(worker)
    not_found = 404, b"Channel not found\n"
    assert await _refused(address(url, writer, access_key=other["access_key"])) == not_found
    assert await _refused(address(url, writer, channel_id=writer["channel_id"][:-1])) == not_found
    assert await _refused(address(url, writer, channel_id="00000000" + writer["channel_id"][8:])) == not_found
    assert await _refused(address(url, writer, channel_id="")) == not_found
    assert await _refused(address(url, writer, channel_id="é")) == not_found
    assert (await _refused(address(url, writer, direction="up")))[0] == 400
    assert (await _refused(address(url, writer, access_key="")))[0] == 400
    assert (await _refused(f"{url}/ws/channels/{writer['channel_id']}"))[0] == 400
    async with end(url, writer) as sink:  # none of this has taken it
        await sink.send("still there")


@pytest.mark.parametrize("gateway", [0, 1])
@pytest.mark.parametrize("direction", [0, 1])
async def test_an_end_is_given_once(shared_cluster: Cluster, gateway: int, direction: int) -> None:
    here, url = shared_cluster.gateways[0].url, shared_cluster.gateways[gateway].url
    async with raw_worker(here) as worker:
        refs = await create(worker)
        async with end(here, refs[direction]) as first:
            async with end(url, refs[direction]) as second:
                assert (await closed(second))[0] == 1008
            await (await first.ping())  # it was not disturbed


@pytest.mark.parametrize("gateway", [0, 1])
async def test_paths_and_queries_of_the_clients_url_stay_in_front(shared_cluster: Cluster, gateway: int) -> None:
    url = shared_cluster.gateways[gateway].url
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        writer, reader = await create(worker)
        id, key = writer["channel_id"], writer["access_key"]
        query = f"token=a&key=wrong&dir=x&flag&key={key}"
        async with connect(f"{url}/base/of/it/ws/channels/{id}?{query}&dir=write") as sink:
            await sink.send("through")
        async with connect(f"{url}/base/ws/channels/{id}?{query}&dir=read") as source:
            assert await everything(source) == (["through"], 1000)
    assert reader["channel_id"] == id


@pytest.mark.parametrize(("writing", "reading"), [(0, 0), (1, 0), (0, 1), (1, 1)])
async def test_a_writer_that_breaks_off_is_told_apart_from_one_that_closes(
    shared_cluster: Cluster, writing: int, reading: int
) -> None:
    urls = [gateway.url for gateway in shared_cluster.gateways]
    async with raw_worker(urls[0]) as worker:
        writer, reader = await create(worker)
        async with end(urls[writing], writer) as sink:
            await sink.send("one")
            await (await sink.ping())
            sink.transport.abort()
            async with end(urls[reading], reader) as source:
                assert await everything(source) == (["one"], 1011)
                assert source.close_reason == "the writer was lost"


async def test_codes_of_applications_go_through(shared_cluster: Cluster) -> None:
    here, there = (gateway.url for gateway in shared_cluster.gateways)
    async with raw_worker(here) as worker:
        writer, reader = await create(worker)
        async with end(there, reader) as source:
            async with end(here, writer) as sink:
                await sink.close(4711, "half of it")
            assert await closed(source) == (4711, "half of it")


@pytest.mark.parametrize(("writing", "reading"), [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize(("leave", "code"), [("close", 1000), ("abort", 1011)])
async def test_a_writer_is_ended_with_its_next_message_when_the_reader_has_gone(
    shared_cluster: Cluster, writing: int, reading: int, leave: str, code: int
) -> None:
    urls = [gateway.url for gateway in shared_cluster.gateways]
    async with raw_worker(urls[0]) as worker:
        writer, reader = await create(worker)
        async with end(urls[writing], writer) as sink:
            async with end(urls[reading], reader) as source:
                await sink.send("one")
                assert await source.recv() == "one"
                if leave == "close":
                    await source.close()
                else:
                    source.transport.abort()
            with pytest.raises(ConnectionClosed):
                await _send_for_ever(sink, "more")  # what is under way when it leaves is not known to be lost
            assert sink.close_code == code


async def test_a_writer_that_waits_for_room_hears_that_the_reader_has_gone(shared_cluster: Cluster) -> None:
    here, there = (gateway.url for gateway in shared_cluster.gateways)
    async with raw_worker(here) as worker:
        writer, reader = await create(worker)
        async with end(there, reader, max_queue=1) as source, end(there, writer) as sink:
            writing = asyncio.create_task(_send_for_ever(sink, b"x" * 65_536))
            await source.recv()
            source.transport.abort()
            with pytest.raises(ConnectionClosed):
                await writing


@pytest.mark.parametrize("buffer", [None, 0, 1, 3, 5000])
async def test_any_number_of_messages_may_be_asked_for(shared_cluster: Cluster, buffer: int | None) -> None:
    here, there = (gateway.url for gateway in shared_cluster.gateways)
    async with raw_worker(here) as worker:
        writer, reader = await create(worker, buffer_size=buffer)
        async with end(there, reader) as source, end(there, writer) as sink:
            for number in range(200):
                await sink.send(f"{number}")
            await sink.close()
            assert await everything(source) == ([f"{number}" for number in range(200)], 1000)


@pytest.mark.parametrize("data", [None, [], "x", {"buffer_size": "64"}, {"buffer_size": 1.5}, {"buffer_size": -1}])
async def test_a_wrong_input_makes_no_channel(shared_cluster: Cluster, data: object) -> None:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        with pytest.raises(CallFailed) as failed:
            await worker.call("engine::channels::create", data)
        assert failed.value.code == "deserialization_error"


async def test_large_messages_pass_whole(shared_cluster: Cluster) -> None:
    here, there = (gateway.url for gateway in shared_cluster.gateways)
    large = bytes(range(256)) * (20 * 2**12)  # 20 MiB
    async with raw_worker(here) as worker:
        writer, reader = await create(worker)
        async with end(there, reader, max_size=(None, 16 * 2**20)) as source, end(there, writer) as sink:

            async def write() -> None:
                for at in range(3):
                    await sink.send([large[i : i + 2**20] for i in range(0, len(large), 2**20)] if at else large[:9])
                await sink.close()

            writing = asyncio.create_task(write())
            received, code = await everything(source)
            await writing
    assert (received, code) == ([large[:9], large, large], 1000)


async def test_pings_are_answered_on_both_ends(shared_cluster: Cluster) -> None:
    here, there = (gateway.url for gateway in shared_cluster.gateways)
    async with raw_worker(here) as worker:
        writer, reader = await create(worker)
        async with end(there, reader) as source, end(here, writer) as sink:
            await (await source.ping())
            await (await sink.ping())


async def test_what_a_reader_says_is_ignored(shared_cluster: Cluster) -> None:
    here, there = (gateway.url for gateway in shared_cluster.gateways)
    async with raw_worker(here) as worker:
        writer, reader = await create(worker)
        async with end(there, reader) as source, end(here, writer) as sink:
            await source.send("hello")
            await source.send(b"hello")
            await sink.send("one")
            assert await source.recv() == "one"
