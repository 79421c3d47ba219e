"""Bodies that are larger than any gateway may hold, in both directions."""

import asyncio
import os

import psutil
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.integration.test_http_wire import bind, both, end_of, routed
from tests.support.cluster import Cluster
from tests.support.raw import RawWorker

# The whole of it is sent with III_TEST_TRANSFER=1024.
SIZE = int(os.environ.get("III_TEST_TRANSFER", "256")) * 2**20  # bytes
PIECE = 2**18
MOST = 64 * 2**20  # more memory than before, of each gateway


class Memory:
    """How much more the gateways have taken at most, as far as it was looked at."""

    def __init__(self, cluster: Cluster) -> None:
        self._processes = [psutil.Process(node.pid) for node in cluster.gateways]
        self._before = self._now()
        self.more = 0

    def _now(self) -> list[int]:
        return [process.memory_info().rss for process in self._processes]

    def look(self) -> None:
        self.more = max(self.more, *(now - was for now, was in zip(self._now(), self._before, strict=True)))


async def received(channel: ClientConnection, memory: Memory) -> int:
    """Bytes until the end; the reader is slow to begin, so that they pile up wherever they can."""
    size = count = 0
    await asyncio.sleep(0.5)
    try:
        while True:
            size += len(await channel.recv(decode=False))
            count += 1
            if count % 256 == 0:
                memory.look()
    except ConnectionClosed:
        assert channel.close_code == 1000
        return size


async def begun(cluster: Cluster, worker: RawWorker, name: str) -> None:
    await worker.register(name)
    await bind(worker, name, name, api_path=name, http_method="POST")


@pytest.mark.timeout(300)
async def test_a_large_upload_takes_little_memory(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await begun(shared_cluster, worker, "large-up")
        await routed(client, "POST", "/large-up")
        memory = Memory(shared_cluster)

        async def upload() -> None:
            await client.send(f"POST /large-up HTTP/1.1\r\nhost: test\r\ncontent-length: {SIZE}\r\n\r\n".encode())
            piece = bytes(PIECE)
            for _ in range(SIZE // PIECE):
                await client.send(piece)

        sending = asyncio.create_task(upload())
        frame = await worker.expect("invokefunction", function_id="large-up")
        async with end_of(shared_cluster, frame["data"]["request_body"]) as channel:
            assert await received(channel, memory) == SIZE
        await sending
        await worker.answer(frame, {"status_code": 201})
        assert (await client.answer()).status == 201
        assert memory.more < MOST


@pytest.mark.timeout(300)
async def test_a_large_download_takes_little_memory(shared_cluster: Cluster) -> None:
    async with both(shared_cluster) as (worker, client):
        await begun(shared_cluster, worker, "large-down")
        await routed(client, "POST", "/large-down")
        memory = Memory(shared_cluster)
        await client.send(b"POST /large-down HTTP/1.1\r\nhost: test\r\n\r\n")
        frame = await worker.expect("invokefunction", function_id="large-down")

        async def download() -> None:
            async with end_of(shared_cluster, frame["data"]["response"]) as channel:
                piece = bytes(PIECE // 4)
                for _ in range(SIZE // len(piece)):
                    await channel.send(piece)

        sending = asyncio.create_task(download())
        await client.head()
        await asyncio.sleep(0.5)
        size = 0
        while length := int(await client.reader.readline(), 16):
            size += len(await client.reader.readexactly(length))
            await client.reader.readexactly(2)
            if size % (16 * 2**20) == 0:
                memory.look()
        await sending
        assert size == SIZE
        assert memory.more < MOST
