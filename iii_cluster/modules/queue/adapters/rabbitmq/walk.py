"""Looking through the messages of a queue; nobody else does so at the same time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused

from iii_cluster.redis.commands import Unavailable

from .connection import RETRY_DELAY, Broker, answered, close

Came = AsyncIterator[AbstractIncomingMessage]


async def count(broker: Broker, name: str) -> int:
    """Messages that wait in a queue; 0 when there is no such queue."""
    try:
        async with broker.channel() as channel:
            queue = await answered(channel.declare_queue(name, passive=True))
            return queue.declaration_result.message_count or 0
    except ChannelNotFoundEntity:
        return 0


async def purge(broker: Broker, name: str) -> int:
    """Delete what waits in a queue; how many."""
    try:
        async with broker.channel() as channel:
            queue = await answered(channel.get_queue(name, ensure=False))
            purged = await answered(queue.purge())
            return purged.message_count or 0
    except ChannelNotFoundEntity:
        return 0


@asynccontextmanager
async def walk(broker: Broker, name: str, patience: float) -> AsyncIterator[Came]:
    """All messages that are there in the beginning, oldest first. Those not acknowledged stay where they were.
    `patience`: seconds to wait for others to be through."""
    deadline = time.monotonic() + patience
    came: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    channel: AbstractChannel | None = None
    try:
        left = await count(broker, name)
        while left and (channel := await _begin(broker, name, came)) is None:
            if time.monotonic() >= deadline:
                raise Unavailable(f"{name} is in use", maybe=False)
            await asyncio.sleep(RETRY_DELAY)
            left = await count(broker, name)
        yield _each(came, left)
    finally:
        if channel is not None:
            await close(channel)


async def _begin(broker: Broker, name: str, came: "asyncio.Queue[AbstractIncomingMessage]") -> AbstractChannel | None:
    """None when somebody else consumes the queue."""
    channel = await broker.open()
    try:
        queue = await answered(channel.get_queue(name, ensure=False))
        await answered(queue.consume(came.put, exclusive=True))
    except ChannelAccessRefused:
        return None
    except BaseException:
        await close(channel)
        raise
    return channel


async def _each(came: "asyncio.Queue[AbstractIncomingMessage]", left: int) -> Came:
    for _ in range(left):
        yield await answered(came.get())
