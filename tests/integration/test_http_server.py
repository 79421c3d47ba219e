"""One HTTP port: framing, order, ids, the log, and what becomes of clients that go."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.eventually import eventually
from tests.support.http_peer import HttpPeer, http_peer, request
from tests.support.http_stand_in import HttpServer, http_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    log = tmp_path_factory.mktemp("server") / "log"
    with http_server(log, config={"access_log": "all"}) as server:
        yield server


def lines(server: HttpServer, path: str) -> list[str]:
    """Of the access log, about one path."""
    return re.findall(rf"action=http_request method=\S+ path={re.escape(path)} .*", server.log.read_text())


# -- framing and order -----------------------------------------------------------------------------


async def test_responses_have_a_date_and_an_id_and_do_not_name_the_server(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        answer = await peer.ask("GET", "/")
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])
        assert "server" not in answer.headers
        assert "connection" not in answer.headers
        assert answer.headers["x-request-id"]
        date = answer.headers["date"]

        async def another_date() -> bool:
            return (await peer.ask("GET", "/")).headers["date"] != date

        await eventually(another_date)


async def test_a_sane_request_id_is_used_everywhere_and_others_are_replaced(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        answer = await peer.ask("GET", "/scope", x_request_id="order-7")
        assert answer.headers["x-request-id"] == answer.value["request_id"] == "order-7"
        for insane in ("a" * 129, "a b", "\xe4"):
            answer = await peer.ask("GET", "/scope", x_request_id=insane)
            assert answer.headers["x-request-id"] == answer.value["request_id"] != insane


async def test_the_target_is_taken_apart(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        said = (await peer.ask("GET", "/%73cope?a=%20&b")).value
        assert (said["path"], said["query"]) == ("/%73cope", "a=%20&b")
        said = (await peer.ask("GET", "http://anything/scope?a")).value
        assert (said["path"], said["query"]) == ("/scope", "a")
        assert (await peer.ask("OPTIONS", "*")).status == 200


async def test_bodies_arrive_whole_however_they_are_sent(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        assert (await peer.ask("POST", "/echo", b"x" * 1_000_000)).body == b"x" * 1_000_000
        await peer.send(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n")
        for piece in (b"5\r\nhe", b"llo", b"\r", b"\n", b"6;a=b\r\n world\r\n", b"0\r\n\r\n"):
            await peer.send(piece)
        assert (await peer.answer()).body == b"hello world"


async def test_a_client_that_expects_to_continue_is_told_when_the_body_is_wanted(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(b"POST /echo HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        assert (await peer.answer()).status == 100
        await peer.send(b"hello")
        assert (await peer.answer()).body == b"hello"
        await peer.send(b"POST /early HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        assert (await peer.answer()).status == 200
        await peer.send(b"hello", request("GET", "/"))
        assert (await peer.answer()).status == 200


async def test_an_answer_before_the_end_of_the_body_keeps_the_connection(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        assert (await peer.ask("POST", "/early", b"x" * 500_000)).value == {"early": True}
        assert (await peer.ask("GET", "/")).status == 200


async def test_an_answer_before_a_body_that_is_not_read_to_its_end_says_that_the_connection_closes(
    server: HttpServer,
) -> None:
    for size, connection in ((500_000, None), (2_000_000, "close")):
        async with http_peer(server.port) as peer:
            await peer.send(b"POST /early HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % size)
            assert (await peer.answer()).headers.get("connection") == connection


async def test_a_client_that_sends_a_long_body_to_its_end_can_read_the_answer_before_it(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(b"POST /early HTTP/1.1\r\ncontent-length: 20000000\r\n\r\n", *(200 * [b"x" * 100_000]))
        assert (await peer.answer()).value == {"early": True}


async def test_a_body_nobody_reads_is_not_read_for_ever(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(b"POST /early HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3b9aca00\r\n")
        assert (await peer.answer()).value == {"early": True}
        sending = asyncio.create_task(_send_for_ever(peer))
        assert await peer.ended() == b""
        with pytest.raises(ConnectionError):
            await sending


async def _send_for_ever(peer: HttpPeer) -> None:
    while True:
        await peer.send(b"x" * 100_000)


async def test_streams_are_sent_as_they_come_and_end_with_the_connection_for_old_clients(server: HttpServer) -> None:
    async with http_peer(server.port) as new, http_peer(server.port) as old:
        await new.send(request("GET", "/stream"))
        assert (await new.head()).headers["transfer-encoding"] == "chunked"
        assert await new.reader.readexactly(10) == b"5\r\nfirst\r\n"
        await old.send(b"GET /stream HTTP/1.0\r\n\r\n")
        assert "transfer-encoding" not in (await old.head()).headers
        assert await old.reader.readexactly(5) == b"first"
        await server.ask("/release")
        assert await new.reader.readexactly(14) == b"4\r\nlast\r\n0\r\n\r\n"
        assert await old.ended() == b"last"


async def test_head_has_the_headers_of_get_and_no_body(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        answer = await peer.ask("HEAD", "/big?1234")
        assert answer.headers["content-length"] == "1234"
        assert (await peer.ask("GET", "/")).status == 200


async def test_pipelined_requests_are_answered_in_order_also_with_bodies(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(b"".join(request("POST", "/echo", b"%d" % number * 50) for number in range(200)))
        for number in range(200):
            assert (await peer.answer()).body == b"%d" % number * 50


async def test_what_follows_a_request_to_close_is_ignored(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(request("GET", "/", connection="close") + request("GET", "/") + b"garbage")
        answer = await peer.answer()
        assert answer.headers["connection"] == "close"
        assert await peer.ended() == b""


async def test_garbage_after_requests_is_refused_after_their_answers(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(request("GET", "/wait"), request("GET", "/big?5"), b"garbage\r\n\r\n", request("GET", "/"))
        await eventually(lambda: server.has_in_progress(2))
        await server.ask("/release")
        assert (await peer.answer()).value == {"waited": True}
        assert (await peer.answer()).body == b"xxxxx"
        assert (await peer.answer()).status == 400
        assert await peer.ended() == b""


async def test_a_body_that_goes_wrong_ends_its_request(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcX")
        assert (await peer.answer()).status == 400
        assert await peer.ended() == b""
    async with http_peer(server.port) as peer:  # the response has begun
        await peer.send(b"POST /stream HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert (await peer.head()).status == 200
        await peer.send(b"X")
        assert not (await peer.ended()).endswith(b"0\r\n\r\n")


async def test_an_upgrade_is_not_taken(server: HttpServer) -> None:
    websocket = request("GET", "/scope", connection="Upgrade", upgrade="websocket", sec_websocket_key="abc")
    java = request("POST", "/scope", b"hello", connection="Upgrade, HTTP2-Settings", upgrade="h2c", http2_settings="A")
    async with http_peer(server.port) as peer:
        await peer.send(websocket, java, java[:-3])
        answer = await peer.answer()
        assert answer.value["method"] == "GET"
        assert "upgrade" not in answer.headers
        assert (await peer.answer()).value["body"] == "hello"
        await peer.send(java[-3:], request("GET", "/big?3"))
        assert (await peer.answer()).value["body"] == "hello"
        assert (await peer.answer()).body == b"xxx"
    async with http_peer(server.port) as peer:
        await peer.send(b"CONNECT example.org:443 HTTP/1.1\r\n\r\n")
        assert (await peer.answer()).status == 501


@pytest.mark.parametrize("connection", ["Upgrade, close", "close, Upgrade"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_an_upgrade_on_a_connection_that_is_to_be_closed_is_answered(
    server: HttpServer, connection: str, version: str
) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(
            f"POST /scope HTTP/{version}\r\nhost: a\r\nconnection: {connection}\r\nupgrade: h2c\r\n"
            "content-length: 5\r\n\r\nhello".encode()
        )
        said = await peer.ended()
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")


# -- applications that go wrong --------------------------------------------------------------------


async def test_an_application_that_fails_has_an_answer_or_a_cut_connection(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        answer = await peer.ask("GET", "/fail")
        assert answer.status == 500
        assert answer.value["error"]["message"] == "internal server error"
        assert (await peer.ask("GET", "/")).status == 200
        await peer.send(request("GET", "/fail-late"))
        assert (await peer.ended()).endswith(b"\r\n\r\n123")


@pytest.mark.parametrize("header", [("a", "b\r\nc: d"), ("a", "b\nc"), ("a\r\nb", "c"), ("a", "b\0"), ("a", "\rb")])
async def test_a_header_cannot_become_two(server: HttpServer, header: tuple[str, str]) -> None:
    async with http_peer(server.port) as peer:
        assert (await peer.ask("GET", "/head?" + json.dumps(header).encode().hex())).status == 500
        good = await peer.ask("GET", "/head?" + json.dumps(("A-b", "c\xe4")).encode().hex())
        assert good.headers["a-b"] == "c\xe4"


# -- clients that go -------------------------------------------------------------------------------


async def test_a_client_that_closes_only_its_side_gets_its_answers(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(request("GET", "/wait"), request("GET", "/big?3"))
        peer.half_close()
        await eventually(lambda: server.has_in_progress(2))
        await server.ask("/release")
        assert (await peer.answer()).value == {"waited": True}
        assert (await peer.answer()).body == b"xxx"
        assert await peer.ended() == b""


@pytest.mark.parametrize("whole", [True, False])
async def test_the_application_learns_that_the_client_is_gone(server: HttpServer, whole: bool) -> None:
    gone = (await server.ask("/describe"))["gone"]
    async with http_peer(server.port) as peer:
        await peer.send(request("GET", "/stream"))
        assert (await peer.head()).status == 200
        if whole:
            peer.reset()
        else:
            peer.half_close()

        async def told() -> bool:
            described = await server.ask("/describe")
            return bool(described["gone"] == gone + 1 and described["in_progress"] == 1)

        await eventually(told)


async def test_a_request_whose_client_is_gone_is_in_progress_until_its_work_is_done(server: HttpServer) -> None:
    async with http_peer(server.port) as peer:
        await peer.send(b"POST /early-wait HTTP/1.1\r\ncontent-length: 9\r\n\r\n")
        await eventually(lambda: server.has_in_progress(2))
        connections = (await server.ask("/describe"))["connections"]
        peer.reset()

        async def closed() -> bool:
            return bool((await server.ask("/describe"))["connections"] < connections)

        await eventually(closed)
        assert await server.has_in_progress(2)
        await server.ask("/release")
        await eventually(lambda: server.has_in_progress(1))
    assert any(" status=499 " in line for line in lines(server, "/early-wait"))


# -- the log ---------------------------------------------------------------------------------------


async def test_the_log_has_a_line_per_request_without_its_query(server: HttpServer) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with http_peer(server.port) as peer:
        path = "/logged%20here?secret=1"
        await peer.ask(
            "GET", path, x_request_id="log-1", traceparent=f"00-{trace}-b7ad6b7169203331-01", cookie="secret"
        )
        await eventually(lambda: bool(lines(server, "/logged%20here")))  # it is written after the answer
        [line] = lines(server, "/logged%20here")
        assert " status=200 bytes=12 " in line
        assert line.endswith(f"request=log-1 trace={trace}")
        assert "secret" not in server.log.read_text()


async def test_errors_alone_are_logged_by_default(tmp_path: Path) -> None:
    with http_server(tmp_path / "log") as server:
        await server.ask("/fine")
        async with http_peer(server.port) as peer:
            await peer.ask("GET", "/503")
        await eventually(lambda: len(lines(server, "/503")) == 1)
        assert lines(server, "/fine") == []


async def test_a_flood_of_bad_requests_is_no_flood_of_lines(server: HttpServer) -> None:
    before = len(server.log.read_text().splitlines())
    async with AsyncExitStack() as stack:
        server.pause()  # its clock runs faster than a gateway's: they come all at once, however slow this machine is
        try:
            peers = [await stack.enter_async_context(http_peer(server.port)) for _ in range(300)]
            for peer in peers:
                await peer.send(b"\x16\x03\x01garbage\r\n\r\n")
        finally:
            server.resume()
        for peer in peers:
            assert (await peer.answer()).status == 400
    text = server.log.read_text()
    assert len(text.splitlines()) - before < 300
    assert "garbage" not in text


# -- TLS -------------------------------------------------------------------------------------------


async def test_everything_works_over_tls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = {"cert_file": str(certificates.cert_file), "key_file": str(certificates.key_file)}
    with http_server(tmp_path / "log", config={"tls": tls}) as server:
        client = certificates.client()
        async with http_peer(server.port, client) as peer:
            assert (await peer.ask("GET", "/scope")).status == 200
            assert (await peer.ask("POST", "/echo", b"x" * 3_000_000)).body == b"x" * 3_000_000
            await peer.send(request("GET", "/") * 1000)
            for _ in range(1000):
                assert (await peer.answer()).status == 200
            await peer.send(b"garbage\r\n\r\n")
            assert (await peer.answer()).status == 400
            assert await peer.ended() == b""
        async with http_peer(server.port) as plain:
            await plain.send(request("GET", "/"))
            assert not (await plain.ended()).startswith(b"HTTP")
        async with http_peer(server.port, client) as peer:
            assert (await peer.ask("GET", "/")).status == 200
