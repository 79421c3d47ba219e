"""A worker that behaves like a published client when its connection ends: it connects again, says who it was,
registers everything again and keeps its calls."""

import asyncio
import inspect
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.eventually import eventually
from tests.support.raw import MAX_FRAME, TIMEOUT, CallFailed, Frame, Handler

DELAY = 0.1  # seconds before the next attempt; published clients wait about a second


class Reconnecting:
    """Connects to one of `urls` after the other. Handlers may be coroutine functions; they outlive a connection."""

    def __init__(
        self,
        urls: Sequence[str],
        name: str = "reconnecting",
        *,
        version: str = "0.23.0",
        reattaches: bool = True,
        delay: float = DELAY,
    ) -> None:
        self._urls = itertools.cycle(urls)
        self._announced = {"runtime": "python", "version": version, "name": name, "os": "test", "pid": 1}
        self._reattaches = reattaches
        self._delay = delay
        self._handlers: dict[str, Handler] = {}
        self._triggers: dict[str, Frame] = {}
        self._waiting: dict[str, asyncio.Future[Frame]] = {}
        self._unsent: list[Frame] = []  # while there is no connection
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: ClientConnection | None = None
        self.identities: list[tuple[str, str | None]] = []  # (worker id, token) of each connection
        self.close_codes: list[int | None] = []
        self._run = asyncio.create_task(self._keep_connected())

    @property
    def worker_id(self) -> str:
        """Of the present, or last, connection."""
        return self.identities[-1][0]

    @property
    def connected(self) -> bool:
        return self._socket is not None

    async def connections(self, count: int) -> None:
        """Returns when this many connections have been made and the last one is open."""
        await eventually(lambda: self.connected and len(self.identities) >= count)

    async def register(self, function_id: str, handler: Handler) -> None:
        self._handlers[function_id] = handler
        if self.connected:
            await self._send({"type": "registerfunction", "id": function_id})

    async def trigger(self, trigger_id: str, trigger_type: str, function_id: str, config: Any = None) -> None:
        said = {"id": trigger_id, "trigger_type": trigger_type, "function_id": function_id, "config": config}
        self._triggers[trigger_id] = {"type": "registertrigger", **said}
        if self.connected:
            await self._send(self._triggers[trigger_id])

    async def begin(self, function_id: str, data: Any = None) -> str:
        """Sends a call and returns its id."""
        invocation_id = str(uuid.uuid4())
        self._waiting[invocation_id] = asyncio.get_running_loop().create_future()
        call = {"type": "invokefunction", "function_id": function_id, "data": data, "invocation_id": invocation_id}
        await self._send(call)
        return invocation_id

    async def result(self, invocation_id: str, within: float = TIMEOUT) -> Any:
        """The result of a call, on whichever connection it comes; raises CallFailed for an error."""
        try:
            async with asyncio.timeout(within):
                frame = await self._waiting[invocation_id]
        finally:
            del self._waiting[invocation_id]
        if frame.get("error") is not None:
            raise CallFailed(frame["error"])
        return frame.get("result")

    async def call(self, function_id: str, data: Any = None, *, within: float = TIMEOUT) -> Any:
        return await self.result(await self.begin(function_id, data), within)

    def abort(self) -> None:
        """Ends the TCP connection without a closing handshake, as a network does; then connects again."""
        assert self._socket is not None
        self._socket.transport.abort()

    async def close(self) -> None:
        """Leaves for good."""
        self._run.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._run, *self._tasks, return_exceptions=True)

    # The life of connections

    async def _keep_connected(self) -> None:
        while True:
            try:
                socket = connect(next(self._urls), max_size=(None, MAX_FRAME), ping_interval=None, compression=None)
                async with socket as connection:
                    await self._serve(connection)
                    self.close_codes.append(connection.close_code)
            except (OSError, InvalidHandshake, ConnectionClosed):
                pass
            finally:
                self._socket = None
            await asyncio.sleep(self._delay)

    async def _serve(self, socket: ClientConnection) -> None:
        hello = json.loads(await socket.recv())
        assert hello["type"] == "workerregistered"
        for frame in self._greeting():
            await socket.send(json.dumps(frame))
        self.identities.append((hello["worker_id"], hello.get("reattach_token")))
        self._socket = socket
        unsent, self._unsent = self._unsent, []
        for frame in unsent:
            await self._send(frame)
        try:
            async for text in socket:
                self._receive(json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self._socket = None

    def _greeting(self) -> list[Frame]:
        """What a client says first: who it was, who it is, what it has."""
        frames: list[Frame] = []
        if self.identities and self._reattaches:
            previous, token = self.identities[-1]
            frames.append({"type": "reattach", "previous_worker_id": previous, "reattach_token": token})
        announce = {"function_id": "engine::workers::register", "action": {"type": "void"}, "data": self._announced}
        frames.append({"type": "invokefunction", **announce})
        frames += [{"type": "registerfunction", "id": function_id} for function_id in self._handlers]
        return frames + list(self._triggers.values())

    async def _send(self, frame: Frame) -> None:
        if self._socket is None:
            self._unsent.append(frame)
            return
        try:
            await self._socket.send(json.dumps(frame))
        except ConnectionClosed:
            self._unsent.append(frame)

    def _receive(self, frame: Frame) -> None:
        if frame["type"] == "invocationresult":
            waiting = self._waiting.get(frame["invocation_id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)
        elif frame["type"] == "invokefunction":
            task = asyncio.create_task(self._answer(frame))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, frame: Frame) -> None:
        result = self._handlers[frame["function_id"]](frame)
        if inspect.isawaitable(result):
            result = await result
        ids = {"invocation_id": frame["invocation_id"], "function_id": frame["function_id"]}
        outcome = {"error": result.error} if isinstance(result, CallFailed) else {"result": result}
        await self._send({"type": "invocationresult", **ids, **outcome})


@asynccontextmanager
async def reconnecting(*urls: str, name: str = "reconnecting", **options: Any) -> AsyncIterator[Reconnecting]:
    """A worker that is connected to the first of `urls`."""
    worker = Reconnecting(urls, name, **options)
    try:
        await worker.connections(1)
        yield worker
    finally:
        await worker.close()


class Gate:
    """A handler whose answers wait until the test opens it."""

    def __init__(self, answer: Callable[[Frame], Any] = lambda frame: frame["data"]) -> None:
        self.called = asyncio.Event()
        self.opened = asyncio.Event()
        self._answer = answer

    async def __call__(self, frame: Frame) -> Any:
        self.called.set()
        await self.opened.wait()
        return self._answer(frame)
