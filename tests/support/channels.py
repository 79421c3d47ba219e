"""Ends of channels as plain WebSockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.raw import RawWorker

Ref = dict[str, str]

MAX_MESSAGE = 64 * 2**20  # bytes


async def create(worker: RawWorker, **data: Any) -> tuple[Ref, Ref]:
    """A channel's refs, writer's and reader's."""
    result = await worker.call("engine::channels::create", data)
    return result["writer"], result["reader"]


def address(url: str, ref: Ref, **changed: str) -> str:
    """Where the gateway at `url` offers this end."""
    ref = {**ref, **changed}
    return f"{url}/ws/channels/{ref['channel_id']}?key={ref['access_key']}&dir={ref['direction']}"


@asynccontextmanager
async def end(url: str, ref: Ref, **options: Any) -> AsyncIterator[ClientConnection]:
    """An end of a channel, through the gateway at `url`."""
    options = {"max_size": MAX_MESSAGE, "compression": None, "ping_interval": None, **options}
    async with connect(address(url, ref), **options) as socket:
        yield socket


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """Code and reason of the Close that the gateway sends next; 1006 when it sends none."""
    try:
        message = await socket.recv()
    except ConnectionClosed:
        return socket.close_code or 0, socket.close_reason or ""
    raise AssertionError(f"instead of a Close came {message[:100]!r}")


async def everything(socket: ClientConnection) -> tuple[list[str | bytes], int]:
    """All messages until the gateway closes the socket, and the code it closes with."""
    messages: list[str | bytes] = []
    try:
        while True:
            messages.append(await socket.recv())
    except ConnectionClosed:
        return messages, socket.close_code or 0
