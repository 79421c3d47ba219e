"""A stream client that speaks the protocol message by message."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TIMEOUT = 20.0  # seconds a message, or a handshake, may take

Message = dict[str, Any]


class StreamClient:
    """One connection. Messages are kept until `expect` asks for them."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[Message] = []
        self.all: list[Message] = []
        self._arrived = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def join(self, stream: str, group: str, item: str | None = None, id: str = "s1") -> None:
        await self._say("join", id, stream, group, item)

    async def leave(self, stream: str, group: str, item: str | None = None, id: str = "s1") -> None:
        await self._say("leave", id, stream, group, item)

    async def follow(self, stream: str, group: str, item: str | None = None, id: str = "s1") -> Any:
        """Joins, and returns what it begins with."""
        await self.join(stream, group, item, id)
        return (await self.expect("sync"))["event"]["data"]

    async def _say(self, type: str, id: str, stream: str, group: str, item: str | None) -> None:
        data = {"subscriptionId": id, "streamName": stream, "groupId": group}
        await self.socket.send(json.dumps({"type": type, "data": data | ({} if item is None else {"id": item})}))

    async def next(self) -> Message:
        """The oldest message."""
        try:
            async with asyncio.timeout(TIMEOUT), self._arrived:
                await self._arrived.wait_for(lambda: self.messages)
        except TimeoutError:
            raise AssertionError("no message has come") from None
        return self.messages.pop(0)

    async def expect(self, type: str) -> Message:
        """The oldest message, which must be of this type."""
        message = await self.next()
        assert message["event"]["type"] == type, message
        return message

    async def changes(self, count: int) -> list[tuple[str, Any]]:
        """The next messages as (type, data)."""
        events = [(await self.next())["event"] for _ in range(count)]
        return [(event["type"], event.get("data")) for event in events]

    async def until(self, data: Any) -> None:
        """Takes messages until one has this data."""
        while (await self.next())["event"].get("data") != data:
            pass

    async def closed(self) -> int | None:
        """Waits for the end of the connection; returns the code."""
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wait([self._reader])
        return self.socket.close_code

    async def silent(self) -> None:
        """Nothing has come, after all that the server had sent before it answers a ping."""
        await (await self.socket.ping())
        assert not self.messages, self.messages

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                async with self._arrived:
                    assert isinstance(text, str)
                    self.messages.append(json.loads(text))
                    self.all.append(self.messages[-1])
                    self._arrived.notify_all()
        except ConnectionClosed:
            pass

    async def stop(self) -> None:
        await self.socket.close()
        await self._reader


@asynccontextmanager
async def stream_client(port: int, path: str = "/", **options: Any) -> AsyncIterator[StreamClient]:
    scheme = "wss" if "ssl" in options else "ws"
    url = f"{scheme}://127.0.0.1:{port}{path}"
    options.setdefault("compression", None)
    async with connect(url, max_size=None, ping_interval=None, open_timeout=TIMEOUT, **options) as socket:
        client = StreamClient(socket)
        try:
            yield client
        finally:
            await client.stop()


async def refused(port: int, path: str = "/") -> int:
    """The status a handshake was answered with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n".encode()
        )
        async with asyncio.timeout(TIMEOUT):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()
