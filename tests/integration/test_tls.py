"""Workers and stream clients over TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.certificates import HOST, Certificates, serial
from tests.support.channels import create, end, everything
from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, echo, known, raw_worker
from tests.support.stream_client import stream_client

MakeCluster = Callable[..., Cluster]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def url(gateway: ClusterNode) -> str:
    return gateway.url.replace("ws://", "wss://")


@contextlib.asynccontextmanager
async def tls_worker(gateway: ClusterNode, context: ssl.SSLContext) -> AsyncIterator[RawWorker]:
    async with raw_worker(url(gateway), options={"ssl": context}) as worker:
        yield worker


async def test_workers_call_each_other_over_tls(make_cluster: MakeCluster, certificates: Certificates) -> None:
    cluster = make_cluster(shards=1, options=certificates.options)
    context = certificates.client()
    async with (
        tls_worker(cluster.gateways[0], context) as one,
        tls_worker(cluster.gateways[1], context) as other,
    ):
        await one.register("tls::echo", echo)
        await known(other, "tls::echo")
        for size in (1, 100_000, 900_000):
            data = {"x": "x" * size}
            assert (await other.call("tls::echo", data))["x"] == data["x"]


async def test_stream_clients_and_channels_go_over_tls(make_cluster: MakeCluster, certificates: Certificates) -> None:
    cluster = make_cluster(shards=1, options=certificates.options)
    first, second = cluster.gateways
    context = certificates.client()
    async with tls_worker(first, context) as worker:
        async with (
            stream_client(first.ports["stream"], ssl=context) as one,
            stream_client(second.ports["stream"], ssl=context) as other,
        ):
            for client in (one, other):
                assert await client.follow("s", "g") == []
            for size in (10, 600_000):
                item = {"stream_name": "s", "group_id": "g", "item_id": "i", "data": {"x": "x" * size}}
                await worker.call("stream::set", item)
                for client in (one, other):
                    await client.until(item["data"])
        sent: list[str | bytes] = ["text", b"binary", b"x" * 3_000_000, *(b"y" * 50_000 for _ in range(100))]
        writer, reader = await create(worker)
        async with end(url(first), reader, ssl=context) as source, end(url(second), writer, ssl=context) as sink:
            reading = asyncio.create_task(everything(source))
            for message in sent:
                await sink.send(message)
            await sink.close()
            assert await reading == (sent, 1000)


async def test_a_draining_gateway_sends_its_workers_away_over_tls(
    make_cluster: MakeCluster, certificates: Certificates
) -> None:
    cluster = make_cluster(shards=1, options=certificates.options)
    async with tls_worker(cluster.gateways[0], certificates.client()) as worker:
        await worker.flush()
        cluster.gateways[0].terminate()
        await worker.wait_closed()
        assert worker.socket.close_code == 1012
    assert await asyncio.to_thread(cluster.gateways[0].wait) == 0


async def test_handshakes_that_are_never_finished_are_dropped(
    make_cluster: MakeCluster, certificates: Certificates
) -> None:
    options = {**certificates.options, "handshake-timeout": "1"}
    gateway = make_cluster(gateways=1, shards=1, options=options).gateways[0]
    idle = [await asyncio.open_connection(HOST, gateway.ports["worker"]) for _ in range(10)]
    for _, writer in idle[5:]:
        writer.write(b"\x16\x03\x01\x02")  # the beginning of a hello
    for reader, writer in idle:
        async with asyncio.timeout(15):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
        writer.close()
    async with tls_worker(gateway, certificates.client()) as worker:
        await worker.flush()
    assert "Traceback" not in gateway.tail()


async def test_a_plain_client_is_not_answered(make_cluster: MakeCluster, certificates: Certificates) -> None:
    gateway = make_cluster(gateways=1, shards=1, options=certificates.options).gateways[0]
    reader, writer = await asyncio.open_connection(HOST, gateway.ports["worker"])
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            assert not (await reader.read()).startswith(b"HTTP")
    writer.close()
    old = ssl.create_default_context(cafile=str(certificates.ca_file))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with tls_worker(gateway, old) as worker:
        await worker.flush()


async def test_a_new_certificate_is_shown_to_new_connections_and_open_ones_live_on(
    make_cluster: MakeCluster, certificates: Certificates
) -> None:
    gateway = make_cluster(gateways=1, shards=1, options=certificates.options).gateways[0]
    context = certificates.client()

    async def shown(port: str = "worker") -> int:
        async with connect(f"wss://{HOST}:{gateway.ports[port]}", ssl=context) as socket:
            return serial(socket.transport.get_extra_info("ssl_object"))

    async with tls_worker(gateway, context) as early:
        await early.register("tls::early", echo)
        first = await shown()
        certificates.key_file.write_text("no key at all")
        await eventually(lambda: "action=tls_reload_failed" in gateway.tail())
        assert await shown() == first
        second = certificates.issue()
        assert second != first
        for port in ("worker", "stream"):

            async def renewed(port: str = port) -> bool:
                return await shown(port) == second

            await eventually(renewed)
        assert await early.call("tls::early", {"n": 1}) is not None


async def test_links_are_followed_to_what_they_point_at_now(make_cluster: MakeCluster, tmp_path: Path) -> None:
    """As Kubernetes does: a link to a link to a directory, which is swapped."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    pairs = {name: Certificates(tmp_path / name) for name in ("a", "b")}
    (tmp_path / "data").symlink_to("a")
    options = {
        f"tls-{what}-file": str(tmp_path / "data" / f"server.{end}") for what, end in (("cert", "pem"), ("key", "key"))
    }
    gateway = make_cluster(gateways=1, shards=1, options=options).gateways[0]
    async with tls_worker(gateway, pairs["a"].client()) as worker:
        await worker.flush()
    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").rename(tmp_path / "data")

    async def trusted() -> bool:
        with contextlib.suppress(ssl.SSLError):
            async with tls_worker(gateway, pairs["b"].client()):
                return True
        return False

    await eventually(trusted)


async def test_clients_have_to_show_a_certificate(make_cluster: MakeCluster, certificates: Certificates) -> None:
    options = {**certificates.options, "tls-client-ca-file": str(certificates.ca_file)}
    gateway = make_cluster(gateways=1, shards=1, options=options).gateways[0]
    async with tls_worker(gateway, certificates.client(certificate=True)) as worker:
        await worker.flush()
    with pytest.raises((ssl.SSLError, ConnectionError, WebSocketException)):
        async with connect(url(gateway), ssl=certificates.client()):
            pass


@pytest.mark.parametrize("fault", ["missing", "mismatch", "garbage", "encrypted"])
def test_files_that_do_not_fit_end_the_start_with_one_line(
    make_cluster: MakeCluster, certificates: Certificates, tmp_path: Path, fault: str
) -> None:
    if fault == "missing":
        certificates.key_file.unlink()
    elif fault == "mismatch":
        cert = certificates.cert_file.read_bytes()
        certificates.issue()
        certificates.cert_file.write_bytes(cert)
    elif fault == "garbage":
        certificates.cert_file.write_text("garbage")
    else:
        _encrypt(certificates.key_file)
    cluster = make_cluster(gateways=0, shards=1)
    options = [part for name, value in certificates.options.items() for part in (f"--{name}", value)]
    node = cluster.spawn("gateway", "--worker-port", "0", *options)
    try:
        assert node.wait() == 2
        lines = [line for line in node.tail().splitlines() if "TLS: " in line]
        assert len(lines) == 1, node.tail()
        assert str(tmp_path) in lines[0]
        assert "Traceback" not in node.tail()
    finally:
        node.close()


def _encrypt(key_file: Path) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    key = pem.load_pem_private_key(key_file.read_bytes(), None)
    algorithm = pem.BestAvailableEncryption(b"secret")
    key_file.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, algorithm))


async def test_a_slow_reader_over_tls_pauses_its_callers_and_is_cut_in_the_end(
    make_cluster: MakeCluster, certificates: Certificates
) -> None:
    options = {**certificates.options, "stall-timeout": "1"}
    gateway = make_cluster(gateways=1, shards=1, options=options).gateways[0]
    context = certificates.client()
    async with tls_worker(gateway, context) as caller, tls_worker(gateway, context) as patient:
        await patient.register("tls::patient", echo)
        reader, writer = await asyncio.open_connection(HOST, gateway.ports["worker"], ssl=context, limit=2**16)
        await _become_worker(reader, writer, "tls::deaf")
        await known(caller, "tls::deaf")
        begun = [await caller.begin("tls::deaf", {"x": "x" * 2**20}) for _ in range(12)]
        ends = [(await caller.result(one, within=30))["error"]["code"] for one in begun]
        assert ends[0] == "invocation_stopped"  # nobody reads them: the socket is cut
        assert {*ends} <= {"invocation_stopped", "function_not_found"}
        assert "reason=it does not read" in gateway.tail()
        assert await caller.call("tls::patient", {"n": 1}) is not None
        writer.transport.abort()


async def _become_worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, function: str) -> None:
    """A worker that registers a function and never reads again."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    writer.write(f"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    text = b'{"type":"registerfunction","id":"%s"}' % function.encode()
    writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    await writer.drain()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
