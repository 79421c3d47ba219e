"""One connection of the bus to a Redis server that may write: kept, greeted, and made again until it is stopped.

redis-py's parser under an asyncio protocol, without a task or a future per command.
"""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from asyncio import Future, Task, Transport
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from iii_cluster.bus.endpoint import Endpoint

log = logging.getLogger(__name__)

FIRST_RETRY = 0.05  # seconds; doubled per failed attempt, with jitter
SLOWEST_RETRY = 1.0
CONNECT_TIMEOUT = 2.0  # seconds until a server has answered everything of the greeting
CLOSE_TIMEOUT = 0.5  # seconds the last writes may take
OPTIONAL = (b"CLIENT", b"ROLE")  # of the greeting: may be forbidden to this user

Reply = Any  # what hiredis makes of the wire: bytes, int, list, error


class Refused(ConnectionError):
    """The server answered the greeting with an error, or follows another one."""


def command(*words: bytes) -> bytes:
    """One command as Redis reads it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def is_replica(role: Reply) -> bool:
    """Whether a reply to ROLE says so; an error (ROLE may be forbidden) does not. What is published to a replica
    reaches nobody but its own subscribers."""
    return isinstance(role, list) and role[:1] == [b"slave"]


class Wire(asyncio.Protocol):
    """One TCP connection; tells its owner, and is left alone once it is closed."""

    def __init__(self, owner: "Connection") -> None:
        loop = asyncio.get_running_loop()
        self.transport: Transport | None = None
        self.greeted: Future[Exception | None] = loop.create_future()  # None: ready for use
        self.closed: Future[Exception] = loop.create_future()
        self.awaited: deque[bytes] = deque()  # greeting commands that are not answered yet
        self._owner = owner
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.closed.done():
            return
        try:
            self._reader.feed(data)
            replies = []
            while (reply := self._reader.gets()) is not False:
                replies.append(reply)
        except hiredis.ProtocolError as error:
            self.close(error)
            return
        self._owner.received(self, replies)

    def answered(self, reply: Reply) -> None:
        """One reply to the greeting."""
        name = self.awaited.popleft()
        if isinstance(reply, hiredis.ReplyError) and name not in OPTIONAL:
            self.close(Refused(f"{name.decode()}: {reply}"))
        elif name == b"ROLE" and is_replica(reply):
            self.close(Refused("the server is a replica"))
        elif not self.awaited and not self.greeted.done():
            self.greeted.set_result(None)
            self._owner.ready()

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(exc or ConnectionResetError("closed by the server"))

    def close(self, reason: Exception) -> None:
        """Give the connection up at once, whatever is still unsent."""
        if self.transport is not None:
            self.transport.abort()
        if not self.greeted.done():
            self.greeted.set_result(reason)
        if not self.closed.done():
            self.closed.set_result(reason)
            self._owner.lost()


class Connection(ABC):
    """Keeps one connection alive; `on_up` and `on_down` say when it can be used. Made by its subclasses."""

    def __init__(self, endpoint: Endpoint, label: str, on_up: Callable[[], None], on_down: Callable[[], None]) -> None:
        self.endpoint = endpoint
        self.up = False
        self._label = label
        self._on_up = on_up
        self._on_down = on_down
        self._wire: Wire | None = None
        self._task: Task[None] | None = None

    def start(self) -> None:
        """Connect, and reconnect until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"bus {self._label}")

    async def stop(self, linger: bool = True) -> None:
        """Close; with `linger` after what was written is on its way."""
        if self._task is None:
            return
        self.up = False
        self._task.cancel()
        await asyncio.wait([self._task])
        wire = self._wire
        if wire is not None and wire.transport is not None:
            if linger:
                wire.transport.close()
                await asyncio.wait([wire.closed], timeout=CLOSE_TIMEOUT)
            wire.close(ConnectionAbortedError("stopped"))

    def drop(self, reason: str) -> None:
        """Close a connection that is not trusted any more, and make a new one."""
        if self._wire is not None:
            self._wire.close(ConnectionAbortedError(reason))

    @property
    def birth(self) -> object:
        """Another object with every connection that is made."""
        return self._wire

    async def _run(self) -> None:
        delay = FIRST_RETRY
        reported = False
        while True:
            self._wire = wire = Wire(self)
            try:
                await self._open(wire)
            except (OSError, TimeoutError) as error:
                wire.close(error)
                if not reported:
                    log.warning(
                        "action=redis_unreachable server=%s use=%s error=%r", self.endpoint.name, self._label, error
                    )
                reported = True
            else:
                log.debug("action=redis_connected server=%s use=%s", self.endpoint.name, self._label)
                delay, reported = FIRST_RETRY, False
                reason = await wire.closed
                log.warning("action=redis_lost server=%s use=%s reason=%r", self.endpoint.name, self._label, reason)
            await asyncio.sleep(delay * (0.5 + random.random() / 2))
            delay = min(delay * 2, SLOWEST_RETRY)

    async def _open(self, wire: Wire) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await self.endpoint.connect(wire)
            self._greet(wire)
            refusal = await wire.greeted
        if refusal is not None:
            raise refusal

    def _greet(self, wire: Wire) -> None:
        assert wire.transport is not None
        commands: list[tuple[bytes, ...]] = []
        if self.endpoint.password is not None:
            user = (self.endpoint.username.encode(),) if self.endpoint.username else ()
            commands.append((b"AUTH", *user, self.endpoint.password.encode()))
        commands += [(b"CLIENT", b"SETNAME", self._label.encode()), (b"ROLE",)]
        commands += self._greeting()
        wire.awaited.extend(words[0] for words in commands)
        wire.transport.write(b"".join(command(*words) for words in commands))

    def ready(self) -> None:
        """The server has answered the whole greeting."""
        self.up = True
        self._on_up()

    def lost(self) -> None:
        """The connection is closed."""
        if self.up:
            self.up = False
            self._on_down()

    @abstractmethod
    def _greeting(self) -> list[tuple[bytes, ...]]:
        """Commands, with one reply each, that make a fresh connection usable."""

    @abstractmethod
    def received(self, wire: Wire, replies: list[Reply]) -> None:
        """Replies that arrived together."""
