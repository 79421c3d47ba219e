"""WebSocket client end made for load: as little CPU per frame as Python allows.

Frames are built by concatenation with a zero mask key, which leaves the payload as it is, and parsed in one loop per
chunk read from the socket. Text messages reach the receiver in batches, one batch per chunk, so that a receiver answers
a whole batch with one write.
"""

import asyncio
import base64
import os
import struct
from collections.abc import Callable, Iterable
from typing import cast
from urllib.parse import urlsplit

CONNECT_TIMEOUT = 10.0  # seconds, TCP and the upgrade together

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10  # opcodes
FIN = 0x80
MASKED = 0x80
SINGLE_TEXT = FIN | TEXT
ZERO_KEY = b"\0\0\0\0"


class WireError(Exception):
    """The server refused the upgrade, broke the framing or closed the connection."""


def header(size: int, opcode: int = TEXT) -> bytes:
    """First bytes of a final, masked client frame of `size` payload bytes, mask key included."""
    if size < 126:
        return bytes((FIN | opcode, MASKED | size)) + ZERO_KEY
    if size < 65536:
        return struct.pack("!BBH", FIN | opcode, MASKED | 126, size) + ZERO_KEY
    return struct.pack("!BBQ", FIN | opcode, MASKED | 127, size) + ZERO_KEY


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    return header(len(payload), opcode) + payload


class Parser:
    """Turns chunks of a server's byte stream into whole messages."""

    __slots__ = ("_parts", "_rest", "controls")

    def __init__(self) -> None:
        self._rest = b""
        self._parts: list[bytes] = []  # payloads of a message whose last fragment is still to come
        self.controls: list[tuple[int, bytes]] = []  # (opcode, payload) of control frames, emptied by the reader

    def feed(self, data: bytes) -> list[bytes]:
        """Data messages completed by this chunk, oldest first."""
        if self._rest:
            data = self._rest + data
        messages: list[bytes] = []
        position, end = 0, len(data)
        while end - position >= 2:
            size = data[position + 1]
            start = position + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                if size > 127:
                    raise WireError("masked frame from a server")
                if end - start < width:
                    break
                size = int.from_bytes(data[start : start + width], "big")
                start += width
            stop = start + size
            if stop > end:
                break
            first = data[position]
            if first == SINGLE_TEXT:
                messages.append(data[start:stop])
            else:
                self._uncommon(first, data[start:stop], messages)
            position = stop
        self._rest = data[position:]
        return messages

    def _uncommon(self, first: int, payload: bytes, messages: list[bytes]) -> None:
        """Control frames, binary messages and fragments."""
        if first & 0x08:
            self.controls.append((first & 0x0F, payload))
            return
        self._parts.append(payload)
        if first & FIN:
            messages.append(b"".join(self._parts))
            self._parts.clear()


class Endpoint(asyncio.Protocol):
    """One client connection. `receive(endpoint, messages)` is called once per chunk read."""

    def __init__(self, request: bytes, receive: Callable[["Endpoint", list[bytes]], None]) -> None:
        loop = asyncio.get_running_loop()
        self._request = request
        self._receive = receive
        self._parser = Parser()
        self._response: bytearray | None = bytearray()  # None once the connection is upgraded
        self._transport: asyncio.WriteTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._outgoing: list[bytes] = []
        self._loop = loop
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._response is not None:
            data = self._upgrade(data)
        messages = self._parser.feed(data)
        if self._parser.controls:
            self._answer_controls()
        if messages:
            self._receive(self, messages)

    def _upgrade(self, data: bytes) -> bytes:
        """Consumes the handshake response; returns what came behind it."""
        assert self._response is not None
        self._response += data
        head, blank, rest = self._response.partition(b"\r\n\r\n")
        if not blank:
            return b""
        self._response = None
        status = head.split(b"\r\n", 1)[0]
        if b" 101" not in status:
            self.opened.set_exception(WireError(f"upgrade refused: {status.decode(errors='replace')}"))
            self.abort()
            return b""
        self.opened.set_result(None)
        return bytes(rest)

    def _answer_controls(self) -> None:
        for opcode, payload in self._parser.controls:
            if opcode == PING:
                self.write(frame(payload, PONG))
            elif opcode == CLOSE:
                self.close()
        self._parser.controls.clear()

    def write(self, frames: bytes) -> None:
        """Writes finished frames now."""
        if self._transport is not None:
            self._transport.write(frames)

    def send(self, payload: bytes) -> None:
        """Queues one text message; all queued in one loop iteration leave in one write."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(frame(payload))

    def _flush(self) -> None:
        self.write(b"".join(self._outgoing))
        self._outgoing.clear()

    async def send_many(self, payloads: Iterable[bytes], batch: int = 1000) -> None:
        """Sends any number of text messages, no faster than the server reads them."""
        frames: list[bytes] = []
        for payload in payloads:
            frames.append(frame(payload))
            if len(frames) == batch:
                self.write(b"".join(frames))
                frames.clear()
                await self._writable.wait()
        self.write(b"".join(frames))
        await self._writable.wait()

    async def writable(self) -> None:
        """Returns when the server keeps up with what was written."""
        await self._writable.wait()

    def close(self) -> None:
        """Close frame, then the end of the connection; the server's answer is not awaited."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(struct.pack("!H", 1000), CLOSE))
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        if not self.opened.done():
            self.opened.set_exception(exc or WireError("connection closed during the upgrade"))
        self.closed.set_result(None)


async def connect(url: str, receive: Callable[[Endpoint, list[bytes]], None]) -> Endpoint:
    """Opens a connection; raises OSError, WireError or TimeoutError."""
    parts = urlsplit(url)
    if parts.scheme != "ws" or parts.hostname is None:
        raise ValueError(f"not a ws:// address: {url}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = (
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_TIMEOUT):
        _, endpoint = await loop.create_connection(lambda: Endpoint(request, receive), parts.hostname, parts.port or 80)
        await endpoint.opened
    return endpoint
