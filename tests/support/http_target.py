"""A small HTTP server that answers as a test says, breaks off, or keeps silent, and tells what it was asked."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.eventually import eventually


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]  # lower case
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    status: int = 200
    body: bytes | Any = b""  # what is not bytes is sent as JSON
    headers: dict[str, str] = field(default_factory=dict)

    def written(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Length": str(len(body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        return f"HTTP/1.1 {self.status} Whatever\r\n{head}\r\n".encode() + body


class Reset:
    """The connection is broken off without an answer."""


class Silence:
    """No answer ever comes."""


Answer = Reply | Reset | Silence | bytes
Behaviour = Callable[[Asked], "Answer | Awaitable[Answer]"]


class HttpTarget:
    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.asked: list[Asked] = []
        self.connections = 0
        self.at_once = 0  # requests that were under way together, at most
        self._now = 0
        self._port = 0
        self._scheme = "http"
        self._writers: set[asyncio.StreamWriter] = set()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self._port}{path}"

    async def wait_for(self, count: int) -> list[Asked]:
        """Returns when there were so many requests."""

        async def there() -> bool:
            return len(self.asked) >= count

        await eventually(there)
        return self.asked

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(method, path, headers, body)
        self.asked.append(asked)
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            answer = self.behaviour(asked)
            if isinstance(answer, Awaitable):
                answer = await answer
        finally:
            self._now -= 1
        match answer:
            case Reset():
                writer.transport.abort()
                return False
            case Silence():
                await reader.read()
                return False
            case bytes():
                writer.write(answer)
                await writer.drain()
                return False
        writer.write(answer.written())
        await writer.drain()
        return True

    def drop_connections(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


@asynccontextmanager
async def http_target(
    behaviour: Behaviour | Answer | None = None, *, context: ssl.SSLContext | None = None
) -> AsyncIterator[HttpTarget]:
    """Listens on 127.0.0.1; without a behaviour it answers with what it was sent."""
    if behaviour is None:
        chosen: Behaviour = lambda asked: Reply(body=asked.body)  # noqa: E731
    elif callable(behaviour):
        chosen = behaviour
    else:
        fixed = behaviour
        chosen = lambda _: fixed  # noqa: E731
    target = HttpTarget(chosen)
    server = await asyncio.start_server(target._serve, "127.0.0.1", 0, ssl=context)
    target._port = server.sockets[0].getsockname()[1]
    target._scheme = "https" if context is not None else "http"
    try:
        yield target
    finally:
        server.close()
        target.drop_connections()
        await asyncio.sleep(0)
