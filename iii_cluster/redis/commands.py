"""Commands to one Redis server: all that are given in one tick of the loop travel in one pipeline, in order.

While a pipeline is on its way the next one gathers, so the busier the process is, the fewer round trips it pays for.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

from hiredis import pack_command
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from iii_cluster.cluster.outage import Outage

from .script import Script

Argument = str | bytes | int | float

DRIVER = DriverInfo()  # of every connection: each would read the library's metadata, which takes milliseconds

MAX_BATCH = 512  # commands of one pipeline: others wait while its replies are parsed
BIG = 10_000  # bytes of a command
IDLE = 0.5  # seconds after which the connection is looked at before it is used
RETRY_DELAY = 0.05  # seconds between attempts to reach the server
CONNECT_TIMEOUT = 2.0  # seconds
REPLY_TIMEOUT = 5.0  # seconds without any reply
# Nothing was done: the server is not (or no longer) in charge, or lost its scripts meanwhile.
NOT_NOW = (BusyLoadingError, ReadOnlyError, NoScriptError)

logger = logging.getLogger(__name__)


class Unavailable(Exception):
    """Redis could not be reached in time; `maybe`: the command may have been executed all the same."""

    def __init__(self, message: str, *, maybe: bool) -> None:
        super().__init__(message)
        self.maybe = maybe


class _Command:
    __slots__ = ("again", "arguments", "deadline", "ended", "maybe", "script")

    def __init__(
        self,
        arguments: tuple[Argument, ...],
        ended: "asyncio.Future[Any]",
        deadline: float,
        again: bool,
        script: Script | None,
    ) -> None:
        self.arguments = arguments
        self.ended = ended
        self.deadline = deadline
        self.again = again  # may be sent once more though it may have been executed
        self.script = script
        self.maybe = False  # it may have been executed

    def fail(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(Unavailable(why, maybe=self.maybe))


class Commands:
    """Outlives outages of the server: commands wait for it up to `patience` seconds."""

    def __init__(self, url: str, name: str, patience: float, action: str = "commands") -> None:
        """`action`: what fails in the log while the server cannot be reached."""
        pool = ConnectionPool.from_url(
            url,
            client_name=name,
            driver_info=DRIVER,
            socket_connect_timeout=CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._connection: Connection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._waiting: list[_Command] = []
        self._sender: asyncio.Task[None] | None = None
        self._outage = Outage(logger, action)
        self._closed = False
        self._used = 0.0  # seconds of the loop's clock
        self._loaded: set[bytes] = set()  # hashes of scripts that the server at this connection has been given

    async def execute(self, *arguments: Argument, again: bool = False) -> Any:
        """The reply of one command, bytes as they are. `again`: doing it twice does no harm.

        Raises ResponseError for what the server refuses, Unavailable when it cannot be reached in time.
        """
        return await self._put(arguments, again, None)

    async def run(
        self, script: Script, keys: Iterable[Argument], arguments: Iterable[Argument] = (), *, again: bool = False
    ) -> Any:
        """As `execute`, for a script."""
        return await self.start(script, keys, arguments, again=again)

    def start(
        self, script: Script, keys: Iterable[Argument], arguments: Iterable[Argument] = (), *, again: bool = False
    ) -> "asyncio.Future[Any]":
        """As `run`, without waiting for the reply: what is given afterwards is executed afterwards."""
        names = tuple(keys)
        return self._put((b"EVALSHA", script.sha, len(names), *names, *arguments), again, script)

    async def close(self) -> None:
        """What still waits fails."""
        self._closed = True
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        for command in self._waiting:
            command.fail("the process stops")
        await self._connection.disconnect()

    def _put(self, arguments: tuple[Argument, ...], again: bool, script: Script | None) -> "asyncio.Future[Any]":
        loop = self._loop
        command = _Command(arguments, loop.create_future(), loop.time() + self._patience, again, script)
        if self._closed:
            command.fail("the process stops")
            return command.ended
        self._waiting.append(command)
        if self._sender is None:
            self._sender = loop.create_task(self._send_all())
        return command.ended

    async def _send_all(self) -> None:
        """Runs while there are commands; its first step comes when this tick's have gathered."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                left: list[_Command] = batch
                try:
                    left = await self._send([command for command in batch if not command.ended.done()])
                finally:
                    self._waiting[:0] = left
                if left:
                    await asyncio.sleep(RETRY_DELAY)
        finally:
            self._sender = None

    async def _send(self, batch: list[_Command]) -> list[_Command]:
        """One round trip; returns what is to be sent once more."""
        try:
            if self._loop.time() - self._used > IDLE:
                await self._leave_if_closed()
            if not self._connection.is_connected:
                self._loaded.clear()
                await self._connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            return self._after_loss(batch, error)
        finally:
            self._used = self._loop.time()
        replies: list[Any] = []
        try:
            packed = self._packed(batch)
        except Exception:
            return self._sendable(batch)
        try:
            await self._load_new(batch)
            await self._ask(packed, len(batch), replies)
            await self._load_missing(batch, replies)
        except (RedisError, OSError) as error:  # asyncio's TimeoutError is an OSError
            await self._connection.disconnect()
            for command in batch[len(replies) :]:
                command.maybe = True
            return self._settle(batch, replies) + self._after_loss(batch[len(replies) :], error)
        except BaseException:
            await self._connection.disconnect()  # its replies would be taken for those of the next commands
            for command in batch:
                command.maybe = True
            raise
        left = self._settle(batch, replies)
        if left:
            await self._connection.disconnect()  # its successor may have another address
        else:
            self._outage.worked(time.monotonic())
        return left

    def _packed(self, batch: list[_Command]) -> list[bytes]:
        """As redis-py would pack it. For small arguments hiredis is several times as fast; big ones it would copy."""
        chunks: list[bytes] = []
        for command in batch:
            arguments = command.arguments
            if sum([len(each) for each in arguments if isinstance(each, (bytes, str))]) < BIG:
                chunks.append(pack_command(arguments))  # type: ignore[arg-type]  # its stub knows tuples of one
            else:
                chunks += self._connection.pack_command(*arguments)
        return chunks

    async def _leave_if_closed(self) -> None:
        """A server that restarted while nobody asked it anything: nothing was sent, so nothing is in doubt."""
        if self._connection.is_connected:
            try:
                closed = await self._connection.can_read()  # nothing is due: this is the end
            except (RedisError, OSError):
                closed = True
            if closed:
                await self._connection.disconnect()

    def _sendable(self, batch: list[_Command]) -> list[_Command]:
        """What no server could be told fails, the others do not."""
        left = []
        for command in batch:
            try:
                self._connection.pack_commands([command.arguments])
            except Exception as error:
                if not command.ended.done():
                    command.ended.set_exception(error)
            else:
                left.append(command)
        return left

    async def _ask(self, packed: list[bytes], count: int, replies: list[Any]) -> None:
        """Many big values take their time: it is a reply that must not be long in coming."""
        connection, clock = self._connection, self._loop.time
        async with asyncio.timeout(REPLY_TIMEOUT) as limit:
            heard = clock()
            await connection.send_packed_command(packed)
            for _ in range(count):
                try:
                    replies.append(await connection.read_response())
                except (ResponseError, BusyLoadingError) as error:  # the latter is a ConnectionError
                    replies.append(error)
                if (now := clock()) - heard > REPLY_TIMEOUT / 10:
                    limit.reschedule(now + REPLY_TIMEOUT)
                    heard = now

    async def _load_new(self, batch: list[_Command]) -> None:
        """Scripts are loaded before their first use: what follows one in the pipeline must not overtake it."""
        loaded = self._loaded
        new = {script for c in batch if (script := c.script) is not None and script.sha not in loaded}
        if new:
            packed = self._connection.pack_commands([(b"SCRIPT LOAD", script.source) for script in new])
            await self._ask(packed, len(new), [])
            loaded.update(script.sha for script in new)

    async def _load_missing(self, batch: list[_Command], replies: list[Any]) -> None:
        """The server does not know a script (any more): load it, and run what needed it."""
        missing = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if not missing:
            return
        sources = {command.script.source for at in missing if (command := batch[at]).script is not None}
        answers: list[Any] = []
        pack = self._connection.pack_commands
        await self._ask(pack([(b"SCRIPT LOAD", source) for source in sources]), len(sources), answers)
        answers.clear()
        for at in missing:
            batch[at].maybe = True
        await self._ask(pack([batch[at].arguments for at in missing]), len(missing), answers)
        for at, answer in zip(missing, answers, strict=True):
            batch[at].maybe = False
            # Unknown again: the server would not load it.
            replies[at] = ResponseError(str(answer)) if isinstance(answer, NoScriptError) else answer

    def _settle(self, batch: list[_Command], replies: list[Any]) -> list[_Command]:
        """Hand out the replies; returns what is to be sent once more."""
        refused: list[_Command] = []
        for command, reply in zip(batch, replies, strict=False):
            if command.ended.done():
                continue
            if isinstance(reply, NOT_NOW):
                refused.append(command)
            elif isinstance(reply, Exception):
                command.ended.set_exception(reply)
            else:
                command.ended.set_result(reply)
        return self._after_loss(refused, ConnectionError("it takes no writes now")) if refused else []

    def _after_loss(self, batch: list[_Command], error: Exception) -> list[_Command]:
        """The server could not be reached, or not any more: who can wait does."""
        self._outage.failed(time.monotonic(), error)
        left = []
        for command in batch:
            if (command.again or not command.maybe) and self._loop.time() < command.deadline:
                left.append(command)
            else:
                command.fail(f"Redis cannot be reached: {error or type(error).__name__}")
        return left
