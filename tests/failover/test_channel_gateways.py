"""Channels when gateways die, stop, or are taken for dead."""

import asyncio
from collections.abc import Callable

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.support.channels import closed, create, end, everything
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import raw_worker


async def _write_until_closed(sink: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed):
        await _write_for_ever(sink)
    return sink.close_code or 0


async def _write_for_ever(sink: ClientConnection) -> None:
    while True:
        await sink.send(b"x" * 1000)
        await asyncio.sleep(0)


async def test_both_ends_hear_that_the_home_of_their_channel_died(own_cluster: Cluster) -> None:
    home, other = own_cluster.gateways
    async with raw_worker(home.url) as worker:
        writer, reader = await create(worker)
    async with end(other.url, reader) as source, end(other.url, writer) as sink:
        await sink.send("one")
        assert await source.recv() == "one"
        home.kill()
        code, reason = await closed(source)
        assert (code, reason) == (1011, f"{home.id} was lost")
        assert await closed(sink) == (1011, f"{home.id} was lost")


async def test_the_writer_hears_that_its_readers_gateway_died(own_cluster: Cluster) -> None:
    home, other = own_cluster.gateways
    async with raw_worker(home.url) as worker:
        writer, reader = await create(worker)
        async with end(home.url, writer) as sink, end(other.url, reader) as source:
            await sink.send("one")
            assert await source.recv() == "one"
            other.kill()
            assert (await closed(sink))[0] == 1011  # without another message


async def test_the_reader_gets_what_arrived_before_its_writers_gateway_died(own_cluster: Cluster) -> None:
    home, other = own_cluster.gateways
    async with raw_worker(home.url) as worker:
        writer, reader = await create(worker)
        async with end(other.url, writer) as sink:
            for number in range(10):
                await sink.send(f"{number}")
            async with end(home.url, reader) as source:
                for number in range(10):
                    assert await source.recv() == f"{number}"
                other.kill()
                assert await closed(source) == (1011, f"{other.id} was lost")


async def test_a_draining_home_lets_its_channels_finish(own_cluster: Cluster) -> None:
    home, other = own_cluster.gateways
    async with raw_worker(home.url) as worker:
        writer, reader = await create(worker)
        late_writer, late_reader = await create(worker)
        async with end(home.url, writer) as sink, end(other.url, reader) as source:
            await sink.send("before")
            home.terminate()
            await worker.wait_closed()
            async with end(other.url, late_writer) as late_sink, end(other.url, late_reader) as late_source:
                await late_sink.send("through another gateway")
                await late_sink.close()
                assert await everything(late_source) == (["through another gateway"], 1000)
            await sink.send("after")
            await sink.close()
            assert await everything(source) == (["before", "after"], 1000)
    assert await asyncio.to_thread(home.wait) == 0


async def test_a_drain_ends_channels_that_do_not_end(make_cluster: Callable[..., Cluster]) -> None:
    home, other = make_cluster(options={"drain-timeout": "3"}).gateways
    async with raw_worker(home.url) as worker:
        writer, reader = await create(worker)
        waiting, _ = await create(worker)
        async with end(home.url, writer) as sink, end(other.url, reader) as source, end(home.url, waiting) as idle:
            writing = asyncio.create_task(_write_until_closed(sink))
            assert await source.recv() == b"x" * 1000
            home.terminate()
            assert await writing == 1012
            assert await closed(idle) == (1012, "service restart")
            assert (await everything(source))[1] == 1011
    assert await asyncio.to_thread(home.wait) == 0


async def test_a_gateway_taken_for_dead_still_has_its_channels(own_cluster: Cluster) -> None:
    home, other = own_cluster.gateways
    async with raw_worker(home.url) as worker:
        writer, reader = await create(worker)
        local_writer, local_reader = await create(worker)
        probe_writer, probe_reader = await create(worker)
        async with end(home.url, local_writer) as sink, end(home.url, local_reader) as source:
            async with end(home.url, probe_writer) as probe:
                await probe.send("found")
            home.pause()

            async def gone() -> bool:
                async with end(other.url, reader) as late:
                    code, reason = await closed(late)
                assert code == 1011
                return reason == "the channel's gateway is gone"

            await eventually(gone)
            home.resume()
            await sink.send("still here")
            assert await source.recv() == "still here"

            async def back() -> bool:
                async with end(other.url, probe_reader) as late:
                    return await everything(late) == (["found"], 1000)

            await eventually(back)
            async with end(other.url, writer) as late_writer:
                await late_writer.send("found by its id")
            async with end(other.url, reader) as late_reader:
                assert await everything(late_reader) == (["found by its id"], 1000)
