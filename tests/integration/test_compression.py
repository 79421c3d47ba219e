"""Compressed sockets of real gateways."""

import asyncio
import contextlib
import json
import os
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from tests.support.channels import create, end, everything
from tests.support.cluster import Cluster, ClusterNode
from tests.support.raw import echo, known, raw_worker
from tests.support.stream_client import stream_client

DEFLATE = {"compression": "deflate"}
TEXT = "some text that repeats, " * 500
MIB = 2**20


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cluster = Cluster(tmp_path_factory.mktemp("compression"), shards=1, options={"compression": "all"})
    try:
        yield cluster.start().gateways
    finally:
        cluster.stop()


def compresses(socket: ClientConnection) -> bool:
    return "permessage-deflate" in (socket.response.headers if socket.response else {}).get(
        "Sec-WebSocket-Extensions", ""
    )


async def test_workers_with_and_without_compression_call_each_other(gateways: list[ClusterNode]) -> None:
    async with (
        raw_worker(gateways[0].url, options=DEFLATE) as packed,
        raw_worker(gateways[1].url) as plain,
    ):
        assert compresses(packed.socket)
        assert not compresses(plain.socket)
        await packed.register("deflate::packed", echo)
        await plain.register("deflate::plain", echo)
        await known(packed, "deflate::packed", "deflate::plain")
        await known(plain, "deflate::packed", "deflate::plain")
        for size in (0, 10, 1000, 5000, 100_000, 600_000):
            data = {"x": TEXT[:size] if size < 12_000 else TEXT * (size // len(TEXT)), "r": os.urandom(size // 4).hex()}
            for caller, function in (
                (packed, "deflate::plain"),
                (plain, "deflate::packed"),
                (packed, "deflate::packed"),
            ):
                answer = await caller.call(function, data)
                assert {key: answer[key] for key in data} == data


async def test_stream_clients_with_and_without_compression_get_the_same(gateways: list[ClusterNode]) -> None:
    port = gateways[0].ports["stream"]
    async with (
        raw_worker(gateways[1].url) as worker,
        stream_client(port, **DEFLATE) as packed,
        stream_client(port) as plain,
        stream_client(port, **DEFLATE) as another,
    ):
        assert compresses(packed.socket)
        assert not compresses(plain.socket)
        clients = (packed, plain, another)
        for client in clients:
            assert await client.follow("deflate", "g") == []
        for size in (1, 2000, 60_000, 300_000, 700_000):
            item = {"stream_name": "deflate", "group_id": "g", "item_id": "i", "data": {"x": (TEXT * 60)[:size]}}
            await worker.call("stream::set", item)
            for client in clients:
                await client.until(item["data"])
        async with stream_client(port, **DEFLATE) as late:
            assert len((await late.follow("deflate", "g"))[0]["x"]) == 700_000


async def test_ends_of_channels_may_be_compressed(gateways: list[ClusterNode]) -> None:
    sent: list[str | bytes] = [TEXT, b"binary", TEXT.encode() * 50, "small"]
    async with raw_worker(gateways[0].url) as worker:
        for options in ((DEFLATE, DEFLATE), (DEFLATE, {}), ({}, DEFLATE)):
            writer, reader = await create(worker)
            async with (
                end(gateways[0].url, reader, **options[0]) as source,
                end(gateways[1].url, writer, **options[1]) as sink,
            ):
                for message in sent:
                    await sink.send(message)
                await sink.close()
                assert await everything(source) == (sent, 1000)


@contextlib.asynccontextmanager
async def attacker(gateway: ClusterNode) -> AsyncIterator[ClientConnection]:
    async with connect(gateway.url, compression="deflate", ping_interval=None, max_size=None) as socket:
        assert compresses(socket)
        await socket.recv()
        yield socket


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """As a client sends it: masked, with reserved bits (4, 2, 1) as wanted."""
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0xFE]) + size.to_bytes(2)
    else:
        head += bytes([0xFF]) + size.to_bytes(8)
    return head + bytes(4) + payload  # a mask of zeros


def bombs(sizes: list[int]) -> list[bytes]:
    """One compressed stream of zeros in as many pieces."""
    encoder = zlib.compressobj(9, wbits=-12)
    mebibyte = encoder.compress(bytes(MIB)) + encoder.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    return [mebibyte * (size // MIB) for size in sizes]


class Peak:
    """How far the memory of a process goes above what it is now."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._process.memory_info().rss
        self.bytes = 0

    async def watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)
            await asyncio.sleep(0.002)


async def bombed(gateway: ClusterNode, data: bytes) -> tuple[int | None, int]:
    """How the gateway closes the connection that sends this, and how much more memory it had meanwhile."""
    peak = Peak(gateway.pid)
    watching = asyncio.create_task(peak.watch())
    async with attacker(gateway) as socket:
        socket.transport.write(data)
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionClosed):
                await socket.recv()
        code = socket.close_code
    watching.cancel()
    return code, peak.bytes


async def test_a_bomb_of_a_gigabyte_is_refused_early(gateways: list[ClusterNode]) -> None:
    [bomb] = bombs([1024 * MIB])
    assert len(bomb) < 1100 * 1024
    code, more = await bombed(gateways[0], frame(Opcode.TEXT, bomb, rsv=4))
    assert code == 1009
    assert more < 80 * MIB


async def test_a_bomb_in_fragments_is_refused_early(gateways: list[ClusterNode]) -> None:
    pieces = bombs([16 * MIB] * 5)
    data = frame(Opcode.TEXT, pieces[0], fin=False, rsv=4)
    data += b"".join(frame(Opcode.CONT, piece, fin=False) for piece in pieces[1:])
    code, more = await bombed(gateways[0], data)
    assert code == 1009
    assert more < 200 * MIB


async def test_a_bomb_behind_a_message_of_full_length_is_refused_early(gateways: list[ClusterNode]) -> None:
    """What is left of the limit then is 0, which zlib takes for none."""
    pieces = bombs([16 * MIB] * 4 + [1024 * MIB])
    data = frame(Opcode.TEXT, pieces[0], fin=False, rsv=4)
    data += b"".join(frame(Opcode.CONT, piece, fin=False) for piece in pieces[1:])
    code, more = await bombed(gateways[0], data)
    assert code == 1009
    assert more < 200 * MIB


async def test_many_small_bombs_at_once_are_taken_one_after_the_other(gateways: list[ClusterNode]) -> None:
    """Each is within the limit, all together in one piece of 256 KiB; calls of others go on meanwhile."""
    [piece] = bombs([15 * MIB])
    many = frame(Opcode.BINARY, piece, rsv=4) * 16
    peak = Peak(gateways[0].pid)
    watching = asyncio.create_task(peak.watch())
    async with attacker(gateways[0]) as socket, raw_worker(gateways[0].url) as worker:
        socket.transport.write(many)
        socket.protocol.send_text(json.dumps({"type": "ping"}).encode())
        socket.transport.write(b"".join(socket.protocol.data_to_send()))
        for _ in range(20):
            await worker.flush()
        assert json.loads(await socket.recv()) == {"type": "pong"}
    watching.cancel()
    assert peak.bytes < 120 * MIB


@pytest.mark.parametrize(
    "data",
    [
        frame(Opcode.TEXT, b"{}", rsv=2),
        frame(Opcode.TEXT, b"{}", rsv=1),
        frame(Opcode.TEXT, b"this is no deflated data", rsv=4),
        frame(Opcode.PING, b"", rsv=4),
        frame(Opcode.TEXT, b"{", fin=False) + frame(Opcode.CONT, b"}", rsv=4),
    ],
)
async def test_reserved_bits_that_mean_nothing_end_the_connection(gateways: list[ClusterNode], data: bytes) -> None:
    code, _ = await bombed(gateways[0], data)
    assert code == 1002


async def test_without_compression_its_bit_ends_the_connection(make_cluster: Callable[..., Cluster]) -> None:
    gateway = make_cluster(gateways=1, shards=1, options={"compression": "streams"}).gateways[0]
    async with connect(gateway.url, compression="deflate") as socket:
        assert not compresses(socket)
        await socket.recv()
        socket.transport.write(frame(Opcode.TEXT, b"{}", rsv=4))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1002
    async with stream_client(gateway.ports["stream"], **DEFLATE) as client:
        assert compresses(client.socket)
