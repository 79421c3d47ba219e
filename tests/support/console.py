"""The console's port without a cluster behind it, and requests byte for byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from coordinator.console.app import Application
from coordinator.console.assets import load
from coordinator.console.filters import NoFilter, Traces
from coordinator.console.gate import Gate
from coordinator.console.live import Live
from coordinator.console.port import ConsolePort
from coordinator.console.reading import Topic
from coordinator.console.routes import Request, Route, Routes
from iii_cluster.config.ports import console_port
from iii_cluster.config.settings import Settings

TOKEN = "a-token-of-the-console"


class Standing:
    """A port with topics whose data is `news`: "news", "paged" (takes filters), n0 to n19; and a path that writes."""

    def __init__(self, **settings: Any) -> None:
        self.news: Any = {"count": 0}
        self.looks = 0
        self.written: list[bytes] = []
        self.fetch: Callable[[], Awaitable[bytes]] = self._fetch
        given = Settings(console_port=0, **settings)
        gate = Gate(given)
        topics = [Topic("news", "/api/news", NoFilter, lambda _: self.fetch(), 0.01, True)]
        topics.append(Topic("paged", "/api/paged", Traces, lambda _: self.fetch(), 0.01))
        topics += [Topic(f"n{n}", f"/api/n{n}", NoFilter, lambda _: self.fetch(), 0.01) for n in range(20)]
        self.live = Live(gate, topics)
        routes = Routes([Route("GET", "/api/news", self._read), Route("POST", "/api/write", self._write, True)])
        self.port = ConsolePort(console_port(given), gate, Application(gate, load(), routes, self.live.serve))

    async def _fetch(self) -> bytes:
        self.looks += 1
        return json.dumps(self.news).encode()

    async def _read(self, _request: Request) -> bytes:
        return await self.fetch()

    async def _write(self, request: Request) -> bytes:
        self.written.append(request.body)
        return b"{}"


@asynccontextmanager
async def standing(**settings: Any) -> AsyncIterator[Standing]:
    one = Standing(**settings)
    await one.port.start()
    try:
        yield one
    finally:
        await one.port.stop()
        await one.live.close()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of the error."""
        return str(json.loads(self.body)["error"]["code"])


async def get(port: int, path: str, **headers: str) -> Answer:
    return await ask(port, "GET", path, None, **headers)


async def ask(port: int, method: str, path: str, body: bytes | None, **headers: str) -> Answer:
    """`headers` (host, content_type) replace what would be sent."""
    sent = {"host": f"127.0.0.1:{port}", "connection": "close"}
    if body is not None:
        sent |= {"content-type": "application/json", "content-length": str(len(body))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return await ask_raw(port, f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""))


async def ask_raw(port: int, request: bytes) -> Answer:
    """Whatever is sent. The connection is expected to end with the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    line, *lines = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return Answer(int(line.split()[1]), {name.lower(): value for name, value in pairs}, body)


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
