"""One connection to the broker, made when it is needed and made anew when it was lost."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelClosed
from yarl import URL

from iii_cluster.cluster.outage import Outage
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

RETRY_DELAY = 0.2  # seconds between attempts to reach the broker
CONNECT_TIMEOUT = 5.0  # seconds
REPLY_TIMEOUT = 10.0  # seconds the broker may take for an answer
CLOSE_TIMEOUT = 1.0  # seconds
HEARTBEAT = 5  # seconds; after two without a sign the broker gives what a silent shard has taken to the next

# The connection or the channel is gone, or does not answer.
LOST = (AMQPError, OSError)
# The broker does not want it; the channel is closed, the connection is not.
REFUSED = ChannelClosed

T = TypeVar("T")
logger = logging.getLogger(__name__)


def said(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def answered(asked: Awaitable[T]) -> T:
    """What the broker said. Raises one of LOST."""
    try:
        async with asyncio.timeout(REPLY_TIMEOUT):
            return await asked
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionError("the connection was closed") from None  # the client library cancels what waits
    except RuntimeError as error:  # how it tells that something is closed
        raise ConnectionError(str(error)) from None


async def persistently(attempt: Callable[[], Awaitable[T]], patience: float) -> T:
    """Again after a lost connection, for `patience` seconds: doing it twice must do no harm. Raises Unavailable, or
    EngineError for what the broker refuses."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return await attempt()
        except REFUSED as error:
            raise EngineError(errors.INTERNAL_ERROR, f"RabbitMQ refuses it: {error}") from None
        except LOST as error:
            if time.monotonic() >= deadline:
                raise Unavailable(f"RabbitMQ cannot be reached: {said(error)}", maybe=True) from None
            await asyncio.sleep(RETRY_DELAY)


class Broker:
    """`purpose` is for the log and for the broker's list of connections; `patience`: seconds it is waited for."""

    def __init__(self, url: str, name: str, purpose: str, patience: float) -> None:
        address = URL(url)
        self._url = address if "heartbeat" in address.query else address.update_query(heartbeat=str(HEARTBEAT))
        self._properties = {"connection_name": f"{name} {purpose}"}
        self._patience = patience
        self._connecting = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._failure = ""  # of the last attempt to connect
        self._outage = Outage(logger, f"rabbitmq_{purpose}")
        self._closed = False

    async def connection(self, deadline: float | None = None) -> AbstractConnection:
        """Open as far as known. Raises Unavailable."""
        if deadline is None:
            deadline = time.monotonic() + self._patience
        async with self._connecting:
            while self._connection is None or not self._connection.connected.is_set():
                if self._closed:
                    raise Unavailable("the process stops", maybe=False)
                if self._failure and time.monotonic() >= deadline:
                    raise Unavailable(f"RabbitMQ cannot be reached: {self._failure}", maybe=False)
                await self._try()
            return self._connection

    async def open(self, deadline: float | None = None, *, confirms: bool = False) -> AbstractChannel:
        """A channel of one's own, to be closed: what was taken and not acknowledged goes back then."""
        connection = await self.connection(deadline)
        if connection.transport is None:
            raise ConnectionError("the connection is being closed")
        return await answered(connection.channel(publisher_confirms=confirms, on_return_raises=confirms))

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        channel = await self.open()
        try:
            yield channel
        finally:
            await close(channel)

    async def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            await close(self._connection)

    async def _try(self) -> None:
        if self._connection is not None:
            await close(self._connection)
        connecting = aio_pika.connect(self._url, timeout=CONNECT_TIMEOUT, client_properties=dict(self._properties))
        try:
            self._connection = await answered(connecting)
        except LOST as error:
            self._failure = said(error)
            self._outage.failed(time.monotonic(), error)
            await asyncio.sleep(RETRY_DELAY)
        else:
            self._failure = ""
            self._outage.worked(time.monotonic())


async def close(what: AbstractChannel | AbstractConnection) -> None:
    """However it is."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await answered(what.close())
    except LOST:
        pass
