"""What one HTTP port takes: sizes, counts, times."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.http_peer import HttpPeer, http_peer, request
from tests.support.http_stand_in import HttpServer, http_server

HASTY = {"header_timeout": 0.3, "body_timeout": 0.3, "keep_alive_timeout": 0.3}
SMALL = {"max_header_bytes": 4096, "concurrency_request_limit": 2, "access_log": "all"}


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """It waits for nothing longer than a moment."""
    log = tmp_path_factory.mktemp("hasty") / "log"
    with http_server(log, config=HASTY, stall_timeout=0.5) as server:
        yield server


@pytest.fixture
def small(tmp_path: Path) -> Iterator[HttpServer]:
    """It takes little."""
    with http_server(tmp_path / "log", config=SMALL) as server:
        yield server


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: abc\r\n" * 600 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"x:\r\n" * 300 + b"\r\n",
        b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n" + b"x:\r\n" * 300 + b"content-length: 9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x:\r\n" * 300,
        b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000,
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000,
    ],
    ids=[
        "line",
        "header",
        "headers",
        "count",
        "upgrade",
        "endless count",
        "endless header",
        "endless line",
        "endless headers",
    ],
)
async def test_a_head_that_is_too_long_is_refused_and_its_connection_closed(small: HttpServer, head: bytes) -> None:
    async with http_peer(small.port) as peer:
        await peer.send(head)
        answer = await peer.answer()
        assert answer.status == 431
        assert answer.headers["connection"] == "close"
        assert answer.value["error"]["code"] == "REQUEST_HEADER_FIELDS_TOO_LARGE"
        assert await peer.ended() == b""


async def test_a_head_just_below_the_limit_is_served(small: HttpServer) -> None:
    async with http_peer(small.port) as peer:
        for _ in range(20):  # what came before does not count
            answer = await peer.ask("GET", "/" + "a" * 1900, x="b" * 1900)
            assert answer.status == 200


async def test_many_small_requests_in_one_piece_are_no_long_head(small: HttpServer) -> None:
    async with http_peer(small.port) as peer:
        await peer.send(request("GET", "/") * 500)
        for _ in range(500):
            assert (await peer.answer()).status == 200


@pytest.mark.parametrize(
    "endless", [b"3;" + b"a" * 200_000, b"0\r\nx: " + b"a" * 200_000, b"0\r\n" + b"x: y\r\n" * 50_000]
)
async def test_chunk_extensions_and_trailers_are_bounded(small: HttpServer, endless: bytes) -> None:
    async with http_peer(small.port) as peer:
        await peer.send(b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", endless)
        assert (await peer.answer()).status == 400
        assert await peer.ended() == b""


async def test_trailers_become_no_headers(small: HttpServer) -> None:
    async with http_peer(small.port) as peer:
        await peer.send(b"POST /scope HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n")
        await peer.send(b"authorization: me\r\n\r\n")
        said = (await peer.answer()).value
        assert said["body"] == "abc"
        assert said["headers"] == [["transfer-encoding", "chunked"]]
        assert (await peer.ask("GET", "/")).status == 200


# -- counts ----------------------------------------------------------------------------------------


async def test_requests_beyond_the_limit_are_told_to_come_again(small: HttpServer) -> None:
    async with http_peer(small.port) as one, http_peer(small.port) as two, http_peer(small.port) as three:
        await one.send(request("GET", "/wait"))
        await two.send(request("GET", "/wait"))

        async def refused() -> bool:
            answer = await three.ask("POST", "/", b'{"a":1}', origin="http://page.example")
            if answer.status == 200:
                return False
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.value["error"]["code"] == "SERVICE_UNAVAILABLE"
            assert len(answer.value["error"]["error_id"]) == 12
            return True

        await eventually(refused)
        assert await refused()  # on the same connection
        one.reset()
        two.reset()

        async def served() -> bool:
            return (await three.ask("GET", "/")).status == 200

        await eventually(served)


async def test_pipelined_requests_beyond_the_limit_get_their_answers_in_order(small: HttpServer) -> None:
    async with http_peer(small.port) as one, http_peer(small.port) as two:
        for peer in (one, two):
            await peer.send(request("GET", "/wait"))
        async with http_peer(small.port) as three:

            async def full() -> bool:
                return (await three.ask("GET", "/")).status == 503

            await eventually(full)
            await three.send(request("GET", "/") * 1000)
            for _ in range(1000):
                assert (await three.answer()).status == 503
        for peer in (one, two):  # nobody waits for its answer when the server stops
            peer.reset()


async def test_a_connection_too_many_is_told_so(tmp_path: Path) -> None:
    with http_server(tmp_path / "log", config={"max_connections": 2}) as server:
        async with http_peer(server.port) as one, http_peer(server.port) as two:
            assert (await one.ask("GET", "/")).status == (await two.ask("GET", "/")).status == 200
            async with http_peer(server.port) as three:
                await three.send(request("GET", "/"))
                answer = await three.answer()
                assert answer.status == 503
                assert answer.headers["connection"] == "close"
                assert await three.ended() == b""
            assert (await one.ask("GET", "/")).status == 200
            two.reset()

            async def room() -> bool:
                async with http_peer(server.port) as four:
                    return (await four.ask("GET", "/")).status == 200

            await eventually(room)


async def test_a_flood_of_pipelined_requests_is_read_as_fast_as_it_is_answered(small: HttpServer) -> None:
    async with http_peer(small.port) as peer:
        await peer.send(request("GET", "/wait"), request("GET", "/") * 30_000)  # fails if nobody ever reads it
        async with http_peer(small.port) as other:
            described = (await other.ask("GET", "/describe")).value
            assert described["in_progress"] == 2
            await other.ask("GET", "/release")
        assert (await peer.answer()).value == {"waited": True}
        for _ in range(30_000):
            assert (await peer.answer()).status == 200


async def test_upgrades_in_a_flood_of_pipelined_requests_lose_none_of_them(small: HttpServer) -> None:
    upgrade = request("GET", "/", connection="upgrade", upgrade="h2c")
    async with http_peer(small.port) as peer, http_peer(small.port) as other:
        await peer.send(request("GET", "/wait"))

        async def waits() -> bool:
            return bool((await other.ask("GET", "/describe")).value["in_progress"] == 2)

        await eventually(waits)
        await peer.send((request("GET", "/") * 30 + upgrade) * 50)
        assert await waits()
        await other.ask("GET", "/release")
        assert (await peer.answer()).value == {"waited": True}
        for _ in range(31 * 50):
            assert (await peer.answer()).status == 200


# -- times -----------------------------------------------------------------------------------------


async def test_headers_that_do_not_end_are_cut_off_even_if_they_keep_coming(hasty: HttpServer) -> None:
    async with http_peer(hasty.port) as peer:
        await peer.send(b"GET / HTTP/1.1\r\n")
        said = b""
        try:
            while not said:
                await peer.send(b"x: y\r\n")
                said = await _for_a_moment(peer)
        except ConnectionError:
            said = b"HTTP/1.1 408"  # and the rest lost with it
        assert said.startswith(b"HTTP/1.1 408")


async def _for_a_moment(peer: HttpPeer) -> bytes:
    try:
        async with asyncio.timeout(0.05):
            return await peer.reader.read(65536)
    except TimeoutError:
        return b""


async def test_a_body_that_falls_silent_is_cut_off(hasty: HttpServer) -> None:
    async with http_peer(hasty.port) as peer:
        await peer.send(b"POST /echo HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc")
        answer = await peer.answer()
        assert answer.status == 408
        assert answer.headers["connection"] == "close"
        assert await peer.ended() == b""


async def test_a_body_nobody_waits_for_may_be_silent(hasty: HttpServer) -> None:
    async with http_peer(hasty.port) as peer, http_peer(hasty.port) as idle:
        await peer.send(b"POST /early-wait HTTP/1.1\r\ncontent-length: 3\r\n\r\n")
        assert await idle.ended() == b""  # as long as any timeout is
        async with http_peer(hasty.port) as other:
            await other.ask("GET", "/release")
        assert (await peer.answer()).value == {"waited": True}


async def test_idle_connections_are_closed_also_those_that_never_asked_or_send_blank_lines(hasty: HttpServer) -> None:
    async with http_peer(hasty.port) as used, http_peer(hasty.port) as unused, http_peer(hasty.port) as blank:
        assert (await used.ask("GET", "/")).status == 200
        await blank.send(b"\r\n\r\n")
        for peer in (used, unused, blank):
            assert await peer.ended() == b""


async def test_a_request_in_progress_is_not_idle(hasty: HttpServer) -> None:
    async with http_peer(hasty.port) as peer, http_peer(hasty.port) as idle:
        await peer.send(request("GET", "/wait"))
        assert await idle.ended() == b""
        async with http_peer(hasty.port) as other:
            await other.ask("GET", "/release")
        assert (await peer.answer()).value == {"waited": True}


async def test_a_half_closed_connection_is_waited_for_a_while_and_its_response_however_long(tmp_path: Path) -> None:
    with http_server(tmp_path / "log", stall_timeout=2) as server:
        async with http_peer(server.port) as waiting, http_peer(server.port) as streaming:
            await waiting.send(request("GET", "/never"))
            await streaming.send(request("GET", "/late-stream"))
            await eventually(lambda: server.has_in_progress(3))
            waiting.half_close()
            streaming.half_close()
            await server.ask("/release")
            assert (await streaming.head()).status == 200
            assert await waiting.ended() == b""
            await server.ask("/release")
            assert (await streaming.ended()).endswith(b"4\r\nlast\r\n0\r\n\r\n")


async def test_a_client_that_does_not_read_is_cut_off(hasty: HttpServer) -> None:
    gone = (await hasty.ask("/describe"))["gone"]
    async with http_peer(hasty.port, limit=1024) as peer:
        await peer.send(request("GET", "/flood"))

        async def cut() -> bool:
            return bool((await hasty.ask("/describe"))["gone"] == gone + 1)

        await eventually(cut)


async def test_a_client_that_leaves_a_complete_response_unread_is_cut_off(hasty: HttpServer) -> None:
    async with http_peer(hasty.port, limit=1024) as peer:
        await peer.send(request("GET", f"/big?{64 * 2**20}"))

        async def cut() -> bool:
            described = await hasty.ask("/describe")
            return bool(described["connections"] == 1 and described["congested"] == 0)

        await eventually(cut)


async def test_a_client_that_reads_slowly_gets_everything(hasty: HttpServer) -> None:
    size = 24 * 2**20
    async with http_peer(hasty.port, limit=2**18) as peer:
        await peer.send(request("GET", f"/big?{size}"))
        assert (await peer.head()).headers["content-length"] == str(size)
        while size:
            size -= len(await peer.reader.readexactly(min(size, 2**18)))
            await asyncio.sleep(0.01)  # far longer in sum than a client may read nothing
