import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from iii_cluster.chaos.history import OPEN
from iii_cluster.chaos.load.browser import REFUSED, Browser, HttpDoor
from iii_cluster.chaos.load.crew import Crew
from iii_cluster.chaos.load.routes import BROWSERS, Routes
from iii_cluster.chaos.recorder import Recorder
from tests.support.eventually import eventually


class Server:
    """Answers every request with the next of `answers`, once it is allowed to; b"" ends the connection instead."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.allowed = asyncio.Event()
        self.allowed.set()
        self.connections = 0
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
                self.asked += 1
                number = int(head.split()[1].rpartition(b"/")[2])
                await self.allowed.wait()
                answer = self.answers.pop(0) if self.answers else response(200, {"n": number})
                if not answer:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def response(status: int, body: object, head: str = "") -> bytes:
    data = json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n{head}\r\n".encode() + data


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, HttpDoor]]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    yield made, HttpDoor(listening.sockets[0].getsockname()[1], "gateway-1")
    listening.close()
    made.allowed.set()


async def test_a_connection_is_kept_until_the_server_ends_it(server: tuple[Server, HttpDoor]) -> None:
    site, door = server
    recorder = Recorder(2.0)
    browser = Browser("browser", door, recorder)
    failed = response(500, {"error": {"code": "invocation_stopped"}}, "Connection: close\r\n")
    site.answers = [response(200, {"n": 1}), failed, response(200, {"n": 3}), b"", response(404, "?")]
    for _ in range(5):
        await browser.post("single", "f", "/f")
    browser.close()
    requests = recorder.history.requests
    assert [(one.status, one.answer) for one in requests] == [(200, 1), (500, None), (200, 3), (0, None), (404, None)]
    assert [one.reused for one in requests] == [False, True, False, True, False]
    assert requests[1].code == "invocation_stopped"
    assert requests[3].code.startswith("connection_lost")
    assert site.connections == len(recorder.history.visits) == 3
    assert all(visit.closed != OPEN for visit in recorder.history.visits)


async def test_a_port_where_nobody_listens_is_noted() -> None:
    recorder = Recorder(2.0)
    browser = Browser("browser", HttpDoor(9, ""), recorder)
    await browser.post("single", "f", "/f")
    assert (recorder.history.requests[0].status, recorder.history.requests[0].code) == (0, REFUSED)
    assert await browser.status("/f") == 0


async def test_requests_under_way_end_before_the_load_pauses(server: tuple[Server, HttpDoor]) -> None:
    site, door = server
    recorder = Recorder(2.0)
    routes = Routes(Crew([], recorder, 1), [door], rate=1000.0)
    site.allowed.clear()
    routes.start()
    await eventually(lambda: site.asked == BROWSERS)
    pausing = asyncio.create_task(routes.pause())
    await asyncio.sleep(0)
    site.allowed.set()
    await pausing
    await routes.stop()
    assert recorder.history.requests
    assert all(one.status == 200 and one.ended != OPEN for one in recorder.history.requests)
