"""Connections that come all at once are served one after the other, and not for ever."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from tests.support.cluster import Cluster
from tests.support.raw import RawWorker, raw_worker


async def test_a_crowd_of_newcomers_is_let_in_bit_by_bit(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(gateways=1, shards=1, options={"handshake-rate": "20"})
    async with AsyncExitStack() as stack:
        crowd = [stack.enter_async_context(raw_worker(cluster.gateways[0].url)) for _ in range(60)]
        workers: list[RawWorker] = await asyncio.gather(*crowd)
        await asyncio.gather(*(worker.flush() for worker in workers))


async def test_who_waits_too_long_is_cut_off(make_cluster: Callable[..., Cluster]) -> None:
    options = {"handshake-rate": "2", "handshake-timeout": "1"}  # the last one waits for half of what it may
    cluster = make_cluster(gateways=1, shards=1, options=options)
    port = cluster.gateways[0].ports["worker"]
    request = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        try:
            return await reader.read(12)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    answers = await asyncio.gather(*(ask() for _ in range(40)))
    assert b"HTTP/1.1 101" in answers
    assert b"" in answers
    async with raw_worker(cluster.gateways[0].url) as worker:
        await worker.flush()
