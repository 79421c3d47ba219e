"""Connections to PostgreSQL that outlive restarts of the server."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from iii_cluster.cluster.outage import Outage
from iii_cluster.redis.commands import Unavailable

try:
    import asyncpg
except ModuleNotFoundError:
    raise ImportError("state in PostgreSQL needs the extra `postgres`: pip install 'iii-cluster[postgres]'") from None

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = Any

RETRY_DELAY = 0.1  # seconds between attempts to reach the server
CONNECT_TIMEOUT = 5.0  # seconds
GRACE = 1.0  # seconds by which the server's time limits are shorter than those here
STOP_TIMEOUT = 1.0  # seconds statements may take to end when the process stops

# No connection could be made, or none is left: nothing was done.
NOT_NOW = (OSError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError, asyncpg.PostgresConnectionError)
# The connection went away under a statement: it may have been executed.
LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
)

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Pool:
    """`patience`: seconds that statements wait for a connection. Times are seconds."""

    def __init__(self, url: str, *, size: int, statement_timeout: float, patience: float, name: str) -> None:
        self._statement_timeout = statement_timeout
        self._patience = patience
        self._outage = Outage(logger, "postgres")
        self._url = url
        self._size = size
        self._name = name

    async def start(self, prepare: Callable[[Connection], Awaitable[None]]) -> None:
        self._pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._size,
            timeout=CONNECT_TIMEOUT,
            command_timeout=self._statement_timeout + GRACE,
            server_settings=self._settings(),
        )
        await self._pool
        async with self.connection() as connection:
            await prepare(connection)

    async def stop(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), STOP_TIMEOUT)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Raises Unavailable, also when the connection is lost inside."""
        connection = await self._patiently(lambda: self._pool.acquire(timeout=self._patience))
        try:
            yield connection
        except (asyncpg.QueryCanceledError, asyncpg.DataError):  # took too long, was never sent
            raise
        except LOST as error:
            self._outage.failed(time.monotonic(), error)
            raise Unavailable(f"the connection to PostgreSQL was lost: {_said(error)}", maybe=True) from None
        else:
            self._outage.worked(time.monotonic())
        finally:
            await self._give_back(connection)

    async def _give_back(self, connection: Connection) -> None:
        """What was asked of it is answered by now: a connection that proves lost here takes nothing back."""
        try:
            await self._pool.release(connection)
        except (*LOST, asyncpg.QueryCanceledError) as error:  # the pool has left it
            self._outage.failed(time.monotonic(), error)

    async def read(self, ask: Callable[[Connection], Awaitable[T]]) -> T:
        """The answer; asks again after a lost connection."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                async with self.connection() as connection:
                    return await ask(connection)
            except Unavailable as error:
                if not error.maybe or time.monotonic() >= deadline:
                    raise

    def _settings(self) -> dict[str, str]:
        return {
            "application_name": self._name,
            "default_transaction_isolation": "read committed",  # a writer must see what the one before it did
            "statement_timeout": f"{round(self._statement_timeout * 1000)}ms",
            # A gateway that hangs with a key locked. Nothing but Redis is waited for in a transaction.
            "idle_in_transaction_session_timeout": f"{round((self._patience + GRACE) * 1000)}ms",
        }

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return await attempt()
            except NOT_NOW as error:
                self._outage.failed(time.monotonic(), error)
                if time.monotonic() >= deadline:
                    raise Unavailable(f"PostgreSQL cannot be reached: {_said(error)}", maybe=False) from None
                await asyncio.sleep(RETRY_DELAY)
            except asyncpg.InterfaceError as error:
                raise Unavailable(f"PostgreSQL cannot be reached: {_said(error)}", maybe=False) from None


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
