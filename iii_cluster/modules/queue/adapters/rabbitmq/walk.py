"""Looking through the messages of a queue; nobody else does so at the same time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused

from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

from .connection import RETRY_DELAY, Broker, answered, close

MAX_LOOK = 100_000  # messages of a queue that can be looked through without taking them out
WINDOW = 500  # messages on their way to who takes them out
QUIET = 2.0  # seconds without a message after which somebody else must have taken the rest

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
async def walk(broker: Broker, name: str, patience: float, *, taking: bool = False) -> AsyncIterator[Came]:
    """All messages that are there in the beginning, oldest first. Those not acknowledged stay where they were.
    `patience`: seconds to wait for others to be through. `taking`: every one is acknowledged before the next."""
    deadline = time.monotonic() + patience
    came: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    channel: AbstractChannel | None = None
    try:
        left = await count(broker, name)
        if left > MAX_LOOK and not taking:
            raise EngineError(errors.PAYLOAD_TOO_LARGE, f"{left} messages are too many to look through")
        while left and (channel := await _begin(broker, name, came, WINDOW if taking else 0)) is None:
            if time.monotonic() >= deadline:
                raise Unavailable(f"{name} is in use", maybe=False)
            await asyncio.sleep(RETRY_DELAY)
            left = await count(broker, name)
        yield _each(came, left)
    finally:
        if channel is not None:
            await close(channel)


async def _begin(
    broker: Broker, name: str, came: "asyncio.Queue[AbstractIncomingMessage]", window: int
) -> AbstractChannel | None:
    """None when somebody else consumes the queue."""
    channel = await broker.open()
    try:
        await answered(channel.set_qos(prefetch_count=window))
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
        try:
            message = await asyncio.wait_for(came.get(), QUIET)
        except TimeoutError:
            return
        yield message
