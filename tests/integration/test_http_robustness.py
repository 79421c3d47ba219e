"""Clients that are broken, slow or hostile: a gateway answers or ends them, and nobody else notices."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.http_load import HttpLoad
from tests.support.http_peer import TIMEOUT, http_peer, request
from tests.support.raw import raw_worker

IDLE = 2000  # connections
SLOW = 300


@asynccontextmanager
async def undisturbed(cluster: Cluster, unique: str) -> AsyncIterator[ClusterNode]:
    """A gateway whose other clients call a worker all the time; fails if they notice anything."""
    gateway = cluster.gateways[0]
    path = f"/{unique}/here"
    written = gateway.log.stat().st_size
    async with raw_worker(cluster.gateways[1].url) as worker:
        await worker.register(unique, lambda frame: {"status_code": 200, "body": frame["data"]["body"]})
        for method in ("GET", "POST"):
            config = {"api_path": path, "http_method": method}
            await worker.send(
                "registertrigger", id=unique + method, trigger_type="http", function_id=unique, config=config
            )

        async def routed() -> bool:
            async with http_peer(gateway.ports["http"]) as peer:
                return {(await peer.ask(method, path)).status for method in ("GET", "POST")} == {200}

        await eventually(routed)
        load = HttpLoad(gateway.ports["http"], clients=2, path=path, pause=0.005)
        try:
            await load.some_more(10)
            yield gateway
            await load.some_more(50)
        finally:
            await load.end()
        assert load.failures == []
    with gateway.log.open("rb") as log:
        log.seek(written)
        assert b"Traceback" not in log.read()


MALFORMED = {
    "no request": b"\x00\x01\x02\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x07" * 500,
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 in the line": b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
    "an unknown method": b"HACK / HTTP/1.1\r\nhost: a\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\nhost: a\r\n\r\n",
    "a proxy's method": b"CONNECT example.org:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    "NUL in the path": b"GET /a\x00b HTTP/1.1\r\nhost: a\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\na\x00b: c\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\na: b\x00c\r\n\r\n",
    "bytes beyond ASCII in the path": b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
    "a blank in the path": b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
    "a blank before the colon": b"GET / HTTP/1.1\r\na : b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nabc\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\na: b\n\n",
    "bare CR": b"GET / HTTP/1.1\r\na: b\rc: d\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
    "a signed length": b"POST / HTTP/1.1\r\ncontent-length: +3\r\n\r\nabc",
    "a negative length": b"POST / HTTP/1.1\r\ncontent-length: -3\r\n\r\nabc",
    "a list of lengths": b"POST / HTTP/1.1\r\ncontent-length: 3, 3\r\n\r\nabc",
    "a length beyond 64 bits": b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\nabc",
    "length and chunks": b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "an unknown encoding": b"POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a header too many": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n",
    "a bomb of headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 50_000,
    "a header bomb": b"GET / HTTP/1.1\r\na: " + b"b" * 300_000,
    "a line bomb": b"GET /" + b"a" * 300_000,
    "a name bomb": b"GET / HTTP/1.1\r\n" + b"a" * 300_000,
}

CHUNKS = {
    "a size that is no number": b"xyz\r\nabc\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "a size in 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "no CRLF after the size": b"3\nabc\r\n0\r\n\r\n",
    "no CRLF after the data": b"3\r\nabc0\r\n\r\n",
    "more data than said": b"3\r\nabcd\r\n0\r\n\r\n",
    "an endless extension": b"3;" + b"a" * 300_000,
    "an endless trailer": b"0\r\na: " + b"b" * 300_000,
    "trailers without end": b"0\r\n" + b"a: b\r\n" * 50_000,
}


async def test_what_is_malformed_is_refused_and_its_connection_closed(shared_cluster: Cluster, unique: str) -> None:
    async with undisturbed(shared_cluster, unique) as gateway:
        for name, said in MALFORMED.items():
            async with http_peer(gateway.ports["http"]) as peer:
                await _send(peer.send(said))
                answer = await peer.answer()
                assert answer.status in (400, 431, 501, 505), name
                assert answer.headers["connection"] == "close", name
                assert answer.value["error"]["message"], name
                assert await peer.ended() == b"", name


async def _send(sending: Awaitable[None]) -> None:
    """The other side may have heard enough before the end."""
    with contextlib.suppress(ConnectionError):
        await sending


async def test_malformed_chunks_end_their_request(shared_cluster: Cluster, unique: str) -> None:
    async with undisturbed(shared_cluster, unique) as gateway:
        for name, chunks in CHUNKS.items():
            for kind in ("application/json", "text/plain"):
                async with http_peer(gateway.ports["http"]) as peer:
                    head = f"POST /{unique}/here HTTP/1.1\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
                    await _send(peer.send(head.encode() + chunks))
                    if kind == "application/json":
                        assert (await peer.ended()).startswith(b"HTTP/1.1 400 "), name
                        continue
                    with contextlib.suppress(OSError):  # it is closed already
                        peer.half_close()
                    said = await peer.ended()  # its function may have answered before
                    assert said[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 200 ", b""), name


async def test_chunks_are_put_together_however_they_are_cut(shared_cluster: Cluster, unique: str) -> None:
    async with undisturbed(shared_cluster, unique) as gateway, http_peer(gateway.ports["http"]) as peer:
        head = f"POST /{unique}/here HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        text = head.encode() + b'4;a="b"\r\n{"a"\r\n00004\r\n:[1]\r\n1\r\n}\r\n0\r\ntrailer: x\r\n\r\n'
        for size in (1, 7, len(text)):
            for at in range(0, len(text), size):
                await peer.send(text[at : at + size])
                await asyncio.sleep(0)
            assert (await peer.answer()).value == {"a": [1]}


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/a/./b/../c",
        "//",
        "///etc/passwd",
        "/\\..\\windows",
        "/%00",
        "/%0d%0aset-cookie:a=b",
        "/%c0%ae%c0%ae/",
        "/%zz",
        "/%",
        "/?%ff%fe",
        "/?" + "a=b&" * 5000,
        "/" + "a/" * 10_000,
        "/" + "%41" * 10_000,
        "*",
        "http://[::1",
        "http://example.org/",
    ],
    ids=range(19),
)
async def test_paths_reach_nothing_but_routes(shared_cluster: Cluster, path: str) -> None:
    async with http_peer(shared_cluster.gateways[0].ports["http"]) as peer:
        answer = await peer.ask("GET", path)
        assert answer.status in (400, 404), path
        assert "set-cookie" not in answer.headers
        assert b"root:" not in answer.body


async def test_clients_that_say_next_to_nothing_hold_up_nobody(shared_cluster: Cluster, unique: str) -> None:
    head = f"POST /{unique}/here HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 100\r\n"
    async with undisturbed(shared_cluster, unique) as gateway, AsyncExitStack() as stack:
        port = gateway.ports["http"]
        peers = [await stack.enter_async_context(http_peer(port)) for _ in range(SLOW)]
        for number, peer in enumerate(peers):
            await peer.send(("GET", head, head + "\r\n[", "")[number % 4].encode())
        for step in range(20):
            for number, peer in enumerate(peers):
                if number % 4:
                    await _send(peer.send(b" "))
                if number % 50 == step:
                    peer.reset()
            await asyncio.sleep(0.01)


async def test_clients_that_leave_at_any_point_leave_nothing_behind(shared_cluster: Cluster, unique: str) -> None:
    said = request("POST", f"/{unique}/here", b"[" + b"1," * 3000 + b"1]", content_type="application/json")
    async with undisturbed(shared_cluster, unique) as gateway:
        for cut in range(0, len(said), 97):
            for leave in ("reset", "half_close"):
                async with http_peer(gateway.ports["http"]) as peer:
                    await peer.send(said[:cut])
                    getattr(peer, leave)()
        async with http_peer(gateway.ports["http"]) as peer:  # all was said
            await peer.send(said)
            peer.half_close()
            assert (await peer.answer()).value == [1] * 3001
            assert await peer.ended() == b""
        for _ in range(50):
            async with http_peer(gateway.ports["http"]) as peer:  # in the middle of the response
                await peer.send(said)
                await peer.head()


async def test_floods_of_pipelined_requests_hold_up_nobody(shared_cluster: Cluster, unique: str) -> None:
    flood = request("GET", f"/{unique}/here") * 2000
    async with undisturbed(shared_cluster, unique) as gateway, AsyncExitStack() as stack:
        port = gateway.ports["http"]
        peers = [await stack.enter_async_context(http_peer(port)) for _ in range(5)]
        floods = [asyncio.create_task(peer.send(flood)) for peer in peers]
        for _ in range(2000):
            assert (await peers[0].answer()).status == 200
        for peer in peers[1:]:  # who read nothing
            peer.reset()
        await asyncio.gather(*floods, return_exceptions=True)


async def test_idle_connections_cost_others_nothing_and_can_be_used_again(shared_cluster: Cluster, unique: str) -> None:
    async with undisturbed(shared_cluster, unique) as gateway, AsyncExitStack() as stack:
        port = gateway.ports["http"]
        peers = [await stack.enter_async_context(http_peer(port, limit=256)) for _ in range(IDLE)]
        for _ in range(2):
            for at in range(0, IDLE, 100):
                answers = await asyncio.gather(*(peer.ask("GET", f"/{unique}/here") for peer in peers[at : at + 100]))
                assert {answer.status for answer in answers} == {200}


PIECES = [
    *(b"GET ", b"POST ", b"OPTIONS ", b"HEAD ", b"/", b"/a", b"*", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n"),
    *(b"host: a\r\n", b"content-length: 3\r\n", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n", b"abc"),
    *(b"3\r\nabc\r\n", b"0\r\n\r\n", b"connection: close\r\n", b"connection: upgrade\r\n", b"upgrade: h2c\r\n"),
    *(b"expect: 100-continue\r\n", b"origin: x\r\n", b"a: ", b"a:", b": ", b" ", b"\x00", b"%", b"?", b"#", b"\n"),
    *(b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    b"POST /a HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n",
]


@settings(max_examples=200)
@given(said=st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=30).map(b"".join), cut=st.integers(0))
def test_whatever_is_said_gets_an_answer_or_none(shared_cluster: Cluster, said: bytes, cut: int) -> None:
    cut = cut % (len(said) + 1)
    with socket.create_connection(("127.0.0.1", shared_cluster.gateways[0].ports["http"]), TIMEOUT) as client:
        answer = b""
        with contextlib.suppress(ConnectionError):
            client.sendall(said[:cut])
            client.sendall(said[cut:])
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                answer += piece
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in answer
