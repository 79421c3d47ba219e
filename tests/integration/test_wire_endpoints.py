"""What the worker port answers before, and beside, the worker protocol."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.cluster import Cluster
from tests.support.raw import raw_worker


@pytest.fixture
def url(shared_cluster: Cluster) -> str:
    return shared_cluster.gateways[0].url


def get(url: str) -> int:
    """The status of a plain HTTP request."""
    try:
        with urllib.request.urlopen(url.replace("ws://", "http://"), timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("path", ["/nowhere", "/otel/", "/otel/x", "/ws", "/index.html"])
async def test_other_paths_are_not_found(url: str, path: str) -> None:
    with pytest.raises(InvalidStatus) as raised:
        await connect(url + path)
    assert raised.value.response.status_code == 404
    assert await asyncio.to_thread(get, url + path) == 404


@pytest.mark.parametrize("path", ["/", "/otel"])
async def test_a_plain_request_is_refused(url: str, path: str) -> None:
    assert 400 <= await asyncio.to_thread(get, url + path) < 500


@pytest.mark.parametrize("query", ["?token=a", "/?token=a&token=b", "/?x=%20"])
async def test_a_query_in_the_address_is_accepted(url: str, query: str) -> None:
    async with raw_worker(url + query, name=None) as worker:
        await worker.flush()


async def test_compression_is_not_negotiated(url: str) -> None:
    async with connect(url, compression="deflate") as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        assert json.loads(await socket.recv())["type"] == "workerregistered"


@pytest.mark.parametrize("path", ["/", "/otel"])
async def test_a_websocket_ping_is_answered(url: str, path: str) -> None:
    async with connect(url + path, ping_interval=None) as socket:
        async with asyncio.timeout(10):
            await (await socket.ping(b"are you there"))


async def test_the_telemetry_endpoint_takes_everything_and_says_nothing(url: str) -> None:
    async with connect(f"{url}/otel", ping_interval=None) as socket:
        await socket.send(b'OTLP{"resourceSpans":[]}')
        await socket.send(b"\x00 no telemetry")
        await socket.send('{"type":"ping"}')
        await socket.send("no json")
        async with asyncio.timeout(10):
            # Answered after everything before it was read: whatever was to be said would be here.
            await (await socket.ping())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await socket.recv()


async def test_a_telemetry_connection_registers_nothing(url: str, unique: str) -> None:
    async with connect(f"{url}/otel") as socket, raw_worker(url) as worker:
        await socket.send(json.dumps({"type": "registerfunction", "id": unique}))
        await (await socket.ping())
        frame = await worker.result(await worker.begin(unique))
        assert frame["error"]["code"] == "function_not_found"


async def test_a_slow_handshake_is_cut_off(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(gateways=1, shards=1, options={"handshake-timeout": "1"})
    port = cluster.gateways[0].ports["worker"]

    async def cut_off(said: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        try:
            async with asyncio.timeout(15):
                assert await reader.read() == b""
        except ConnectionResetError:
            pass  # as good as an end
        finally:
            writer.close()

    await asyncio.gather(cut_off(b""), cut_off(b"GET / HTTP/1.1\r\nHost: x\r\n"))
    # Who is through the handshake stays.
    async with raw_worker(cluster.gateways[0].url) as worker:
        await worker.flush()
