"""An HTTP port that is closed while others serve on: who is answered, who is sent elsewhere, who is cut."""

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.http.listener import HttpListener
from iii_cluster.config.settings import Settings
from iii_cluster.modules.http.config import HttpConfig
from iii_cluster.modules.http.module import HttpModule
from tests.support.eventually import eventually
from tests.support.http_load import HttpLoad
from tests.support.http_peer import http_peer, request
from tests.support.http_stand_in import Application, HttpServer, http_server
from tests.support.ports import release_port, reserve_port


async def closed(port: int) -> bool:
    """Whether nobody listens there any more."""
    try:
        async with http_peer(port):
            return False
    except ConnectionError:  # reset, if it was closed just then
        return True


async def test_requests_in_progress_are_finished_and_idle_connections_closed(tmp_path: Path) -> None:
    with http_server(tmp_path / "log") as server:
        async with http_peer(server.port) as busy, http_peer(server.port) as idle, http_peer(server.port) as late:
            assert (await idle.ask("GET", "/")).status == (await late.ask("GET", "/")).status == 200
            await busy.send(request("GET", "/wait"))
            await eventually(lambda: server.has_in_progress(2))
            await late.send(b"GET /release HTTP/1.1\r\n")
            await server.ask("/")  # it has been read
            server.terminate()
            assert await idle.ended() == b""
            await late.send(b"\r\n")  # the rest of a request that had begun
            answer = await late.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            answer = await busy.answer()
            assert (answer.value, answer.headers["connection"]) == ({"waited": True}, "close")
            assert await busy.ended() == await late.ended() == b""
        assert server.wait() == 0


async def test_an_idle_connection_may_still_be_asked_on_for_a_moment(tmp_path: Path) -> None:
    with http_server(tmp_path / "log", drain_timeout=600.0) as server:
        async with http_peer(server.port) as asking, http_peer(server.port) as streaming:
            assert "connection" not in (await asking.ask("GET", "/")).headers
            await streaming.send(request("GET", "/stream"))
            assert "connection" not in (await streaming.head()).headers  # what it was told goes on to hold
            server.terminate()
            await eventually(lambda: closed(server.port))
            answer = await asking.ask("GET", "/release")
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await asking.ended() == b""
            assert await streaming.reader.readuntil(b"0\r\n\r\n") == b"5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n"
            answer = await streaming.ask("GET", "/")
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await streaming.ended() == b""
        assert server.wait() == 0


async def test_nobody_who_is_gone_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.listener._PARTING", 3600.0)
    listener = HttpListener(HttpModule(HttpConfig()), Settings(host="127.0.0.1", http_port=0), Application())
    await listener.start()
    async with http_peer(listener.port) as peer:
        assert (await peer.ask("GET", "/")).status == 200
        stopping = asyncio.create_task(listener.stop(7200))
        await eventually(lambda: closed(listener.port))
        assert not stopping.done()
    await asyncio.wait_for(stopping, 10)


async def test_what_takes_longer_than_the_grace_is_cut(tmp_path: Path) -> None:
    with http_server(tmp_path / "log", drain_timeout=0.3) as server:
        async with http_peer(server.port) as waiting, http_peer(server.port) as streaming:
            await streaming.send(request("GET", "/stream"))
            assert (await streaming.head()).status == 200
            await waiting.send(request("GET", "/wait"))
            await eventually(lambda: server.has_in_progress(3))
            server.terminate()
            assert await waiting.ended() == b""
            assert await streaming.ended() == b"5\r\nfirst\r\n"
        assert server.wait() == 0


async def test_a_client_that_has_only_connected_may_still_ask() -> None:
    settings = Settings(host="127.0.0.1", http_port=0)
    listener = HttpListener(HttpModule(HttpConfig()), settings, Application())
    await listener.start()
    with (
        socket.create_connection(("127.0.0.1", listener.port)) as silent,
        socket.create_connection(("127.0.0.1", listener.port)) as asking,
    ):
        stopping = asyncio.create_task(listener.stop(5))  # the loop had no time to accept them
        asking.sendall(request("GET", "/"))
        said = await asyncio.to_thread(asking.recv, 65536)
        assert said.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in said
        assert await asyncio.to_thread(silent.recv, 65536) == b""
        await stopping
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", listener.port))


async def test_others_on_the_port_take_over_without_a_failed_request(tmp_path: Path) -> None:
    port = reserve_port()
    servers = [HttpServer(tmp_path / f"log{number}", port) for number in range(2)]
    load = HttpLoad(port, clients=16)
    try:
        await load.some_more()
        for number in range(6):
            servers.append(await asyncio.to_thread(HttpServer, tmp_path / f"next{number}", port))
            assert await asyncio.to_thread(servers.pop(0).stop) == 0
            await load.some_more()
    finally:
        await load.end()
        statuses = [server.stop() for server in servers]
        release_port(port)
    assert load.failures == []
    assert load.answered > 3000
    assert statuses == [0, 0]
