"""What a slow reader costs its gateways: nothing much, and its channel nothing at all."""

import asyncio
import os

import psutil
import pytest

from tests.support.channels import create, end
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import raw_worker

# The whole of it is sent with III_TEST_TRANSFER=1024.
TRANSFER = int(os.environ.get("III_TEST_TRANSFER", "256")) * 2**20  # bytes
MESSAGE = 64 * 2**10
EXTRA = 64 * 2**20


@pytest.mark.timeout(300)
async def test_a_long_transfer_to_a_slow_reader_needs_little_memory(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    processes = [psutil.Process(gateway.pid) for gateway in (here, there)]
    async with raw_worker(here.url) as worker:
        writer, reader = await create(worker)
        before = [process.memory_info().rss for process in processes]
        most = list(before)
        async with end(there.url, reader, max_queue=2) as source, end(there.url, writer) as sink:

            async def write() -> None:
                for number in range(TRANSFER // MESSAGE):
                    await sink.send(number.to_bytes(8, "big") * (MESSAGE // 8))
                await sink.close()

            writing = asyncio.create_task(write())
            number = 0
            async for message in source:
                assert message == number.to_bytes(8, "big") * (MESSAGE // 8)
                number += 1
                if number % 64 == 0:  # slow: everything in front of it fills up
                    await worker.flush()
                    most = [
                        max(known, process.memory_info().rss) for known, process in zip(most, processes, strict=True)
                    ]
            await writing
    assert number == TRANSFER // MESSAGE
    assert source.close_code == 1000
    assert all(now - then < EXTRA for now, then in zip(most, before, strict=True))


async def test_a_reader_that_reads_nothing_stops_its_writer_and_nobody_else(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    sent = 0
    async with raw_worker(here.url) as worker:
        writer, reader = await create(worker)
        other_writer, other_reader = await create(worker)
        async with end(there.url, reader, max_queue=1) as source, end(there.url, writer) as sink:

            async def write() -> None:
                nonlocal sent
                while sent < 4096:
                    await sink.send(bytes(MESSAGE))
                    sent += 1

            async def stopped() -> bool:
                before = sent
                await asyncio.sleep(0.3)
                return 0 < before == sent

            writing = asyncio.create_task(write())
            await eventually(stopped)
            assert sent < 4096
            async with end(there.url, other_reader) as other_source, end(there.url, other_writer) as other_sink:
                await other_sink.send("passes")
                assert await other_source.recv() == "passes"
            for _ in range(4096):
                assert await source.recv() == bytes(MESSAGE)
            await writing
