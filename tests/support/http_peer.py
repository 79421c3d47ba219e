"""An HTTP client that says exactly what a test tells it to, byte by byte."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

TIMEOUT = 25.0  # seconds an answer may take


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]  # names in lower case; of repeated ones the last
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


class HttpPeer:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
        await self.writer.drain()

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One ordinary request; headers with _ for -."""
        await self.send(request(method, path, body, **headers))
        return await self.answer(method)

    async def answer(self, method: str = "GET", begun: bytes = b"") -> Answer:
        """The next response, of which `begun` was read; fails when the connection ends before it is complete."""
        async with asyncio.timeout(TIMEOUT):
            head = await self.head(begun)
            if head.status < 200:
                return head
            return head._replace(body=await self._body(head, method))

    async def head(self, begun: bytes = b"") -> Answer:
        text = (begun + await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = text.split("\r\n")[:-2]
        assert line.startswith("HTTP/1.1 "), line
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        return Answer(int(line.split(" ")[1]), headers, b"")

    async def _body(self, head: Answer, method: str) -> bytes:
        if method == "HEAD" or head.status in (204, 304):
            return b""
        if head.headers.get("transfer-encoding") == "chunked":
            chunks = []
            while size := int(await self.reader.readline(), 16):
                chunks.append(await self.reader.readexactly(size))
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
            return b"".join(chunks)
        if "content-length" in head.headers:
            return await self.reader.readexactly(int(head.headers["content-length"]))
        return await self.reader.read()

    async def ended(self) -> bytes:
        """What comes until the server closes; a reset is an end, too."""
        said = b""
        try:
            async with asyncio.timeout(TIMEOUT):
                while piece := await self.reader.read(65536):
                    said += piece
        except ConnectionError:
            pass
        return said

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Ends the connection so that the server learns of it at once."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@asynccontextmanager
async def http_peer(port: int, tls: ssl.SSLContext | None = None, limit: int = 2**16) -> AsyncIterator[HttpPeer]:
    """`limit` bytes are read ahead, twice that at most."""
    host = "localhost" if tls is not None else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=host, limit=limit)
    try:
        yield HttpPeer(reader, writer)
    finally:
        writer.transport.abort()


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of an ordinary request."""
    said = {"host": "test"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body:
        said["content-length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
