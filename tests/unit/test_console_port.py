"""What the console's port lets in, on real sockets, without a cluster."""

import asyncio
from typing import Any

import pytest

from coordinator.console import app, connection, port
from coordinator.console.app import MAX_BODY
from coordinator.console.failure import Failure
from tests.support.console import TOKEN, Standing, ask, ask_raw, bearer, get, standing
from tests.support.eventually import eventually


async def test_the_page_comes_with_headers_that_keep_others_out() -> None:
    async with standing() as one:
        page = await get(one.port.port, "/")
        assert page.status == 200
        assert page.body.startswith(b"<!doctype html>")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["x-frame-options"] == "DENY"
        again = await get(one.port.port, "/", if_none_match=page.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        head = await ask(one.port.port, "HEAD", "/", None)
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", page.headers["content-length"])


@pytest.mark.parametrize(
    "path",
    [
        "/../console.py",
        "/../../service.py",
        "/..%2fconsole.py",
        "/%2e%2e/console.py",
        "/core/../../console.py",
        "//etc/passwd",
        "/core/..%5c..%5cconsole.py",
        "/assets/index.html",
        "/core",
        "/core/",
        "/index.html%00.js",
    ],
)
async def test_a_path_leads_to_no_other_file(path: str) -> None:
    async with standing() as one:
        assert (await get(one.port.port, path)).status == 404


async def test_who_writes_needs_the_token_json_and_the_right_place() -> None:
    async with standing(console_tokens=(TOKEN,)) as one:
        port, place = one.port.port, f"http://127.0.0.1:{one.port.port}"
        assert (await ask(port, "POST", "/api/write", b"{}")).code == "token_required"
        assert (await ask(port, "POST", "/api/write", b"{}", **bearer("wrong"))).code == "token_wrong"
        assert (await ask(port, "POST", f"/api/write?token={TOKEN}", b"{}")).code == "token_required"
        assert (await ask(port, "POST", "/api/write", b"{}", **bearer(), origin="http://evil.example")).status == 403
        assert (await ask(port, "POST", "/api/write", b"{}", **bearer(), host="evil.example")).status == 403
        assert (await ask(port, "POST", "/api/write", b"{}", **bearer(), content_type="text/plain")).status == 415
        assert (await get(port, "/api/write", **bearer())).status == 405
        assert one.written == []
        assert (await ask(port, "POST", "/api/write", b"{}", **bearer(), origin=place)).status == 200
        assert one.written == [b"{}"]


async def test_a_body_that_is_too_large_is_refused_whatever_its_length_is_said_to_be() -> None:
    async with standing(console_tokens=(TOKEN,)) as one:
        port = one.port.port
        assert (await ask(port, "POST", "/api/write", b" " * MAX_BODY, **bearer())).status == 200
        assert (await ask(port, "POST", "/api/write", b" " * (MAX_BODY + 1), **bearer())).status == 413
        head = f"POST /api/write HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n"
        head += "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        chunk = b"%x\r\n%b\r\n" % (2**16, b" " * 2**16)
        chunks = chunk * (MAX_BODY // 2**16 + 1)
        assert (await ask_raw(port, head.encode() + chunks + b"0\r\n\r\n")).status == 413
        assert len(one.written) == 1


async def test_reading_is_open_on_loopback_and_elsewhere_to_those_with_a_token() -> None:
    async with standing(console_tokens=(TOKEN,)) as one:
        assert (await get(one.port.port, "/api/news")).body == b'{"count": 0}'
    async with standing(console_tokens=(TOKEN,), console_host="0.0.0.0") as one:
        port = one.port.port
        refused = await get(port, "/api/news")
        assert (refused.status, refused.code) == (401, "token_required")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await get(port, "/api/news", **bearer())).status == 200
        assert (await get(port, "/")).status == 200  # there is nothing of the cluster in it
        assert (await get(port, "/api/news", host="console.example", **bearer())).status == 200
    async with standing(console_host="0.0.0.0") as one:
        assert (await get(one.port.port, "/api/news")).status == 200
        assert (await ask(one.port.port, "POST", "/api/write", b"{}", **bearer())).code == "read_only"


async def test_failures_are_told_and_what_fails_by_itself_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def away() -> bytes:
        raise Failure(503, "unavailable", "Redis is away")

    async def broken() -> bytes:
        raise RuntimeError("with a secret in it")

    async with standing() as one:
        one.fetch = away
        answer = await get(one.port.port, "/api/news")
        assert (answer.status, answer.code) == (503, "unavailable")
        one.fetch = broken
        answer = await get(one.port.port, "/api/news")
        assert (answer.status, answer.code) == (500, "internal_error")
        assert b"secret" not in answer.body
    assert "action=console_request_failed" in caplog.text


async def test_a_head_that_has_no_end_is_cut() -> None:
    async with standing() as one:
        _, writer = await asyncio.open_connection("127.0.0.1", one.port.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        with pytest.raises(ConnectionError):
            await _write_on(writer, b"x-more: " + b"x" * 1000 + b"\r\n")
        writer.close()


async def test_a_head_that_takes_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.05)
    async with standing() as one:
        for begun in (b"", b"GET / HTTP/1.1\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", one.port.port)
            writer.write(begun)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 20)
            writer.close()


async def test_who_does_not_read_its_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALL_TIMEOUT", 0.05)
    async with standing() as one:
        one.news = {"text": "x" * 8_000_000}
        _, writer = await asyncio.open_connection("127.0.0.1", one.port.port, limit=1)
        writer.write(b"GET /api/news HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await eventually(lambda: one.looks == 1)
        await eventually(lambda: one.port.connections == 0)
        writer.close()


async def test_who_reads_slowly_is_not_cut_until_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[connection.ConsoleConnection] = []

    class Seen(connection.ConsoleConnection):
        def connection_made(self, transport: Any) -> None:
            made.append(self)
            super().connection_made(transport)

    monkeypatch.setattr(port, "ConsoleConnection", Seen)
    monkeypatch.setattr(connection, "STALL_TIMEOUT", 3600.0)
    async with standing() as one:
        one.news = "x" * 20_000_000
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port.port, limit=2**16)
        writer.write(b"GET /api/news HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await eventually(lambda: made and made[0].transport.get_write_buffer_size())
        waiting = made[0].transport.get_write_buffer_size()
        while made[0].transport.get_write_buffer_size() >= waiting:
            await reader.read(100_000)
        made[0]._see_reader()
        assert not made[0].transport.is_closing()
        made[0]._see_reader()
        assert made[0].transport.is_closing()
        writer.close()


async def test_answers_that_nobody_reads_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_UNREAD", 10_000_000)
    async with standing() as one:
        one.news = "x" * 16_000_000
        _, writer = await asyncio.open_connection("127.0.0.1", one.port.port, limit=1)
        writer.write(b"GET /api/news HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await eventually(lambda: one.looks == 1)
        await eventually(lambda: one.port.connections == 0)
        writer.close()


async def _goes_on(writer: asyncio.StreamWriter) -> None:
    for _ in range(1000):
        writer.write(b"name: value\r\n" * 1000)
        await writer.drain()


@pytest.mark.parametrize("path", [b"/api/write", b"/none"])
async def test_neither_trailers_nor_a_refused_body_go_on_for_ever(path: bytes) -> None:
    async with standing(console_tokens=(TOKEN,)) as one:
        head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n" % path
        for without_end in (b"0\r\n", b"100000000\r\n"):
            _, writer = await asyncio.open_connection("127.0.0.1", one.port.port)
            writer.write(head + without_end)
            with pytest.raises(ConnectionError):
                await _goes_on(writer)
            writer.close()


async def test_a_body_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_TIMEOUT", 0.05)
    async with standing(console_tokens=(TOKEN,)) as one:
        answer = await ask(one.port.port, "POST", "/api/write", b"{", content_length="2", **bearer())
        assert (answer.status, answer.code) == (408, "timeout")
        assert not one.written


async def test_connections_beyond_the_limit_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 3)
    async with standing() as one:
        idle = [await asyncio.open_connection("127.0.0.1", one.port.port) for _ in range(3)]
        await eventually(lambda: one.port.connections == 3)
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 20)
        for _, open_one in [*idle, (reader, writer)]:
            open_one.close()
        await eventually(lambda: not one.port.connections)
        assert (await get(one.port.port, "/")).status == 200


async def test_coordinators_of_a_host_share_the_port() -> None:
    async with standing() as one:
        other = Standing()
        other.port._own = type(other.port._own)("console", "console_port", "127.0.0.1", one.port.port)
        await other.port.start()
        assert other.port.port == one.port.port
        await one.port.stop()
        assert (await get(other.port.port, "/api/news")).status == 200
        await other.port.stop()


async def _write_on(writer: asyncio.StreamWriter, line: bytes) -> None:
    while True:
        writer.write(line)
        await writer.drain()
        await asyncio.sleep(0)
