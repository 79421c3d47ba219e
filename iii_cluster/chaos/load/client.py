"""A worker as a current SDK makes it: reconnects, reattaches, replays what it registered, keeps its calls."""

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from iii_cluster.chaos.history import ENGINE, OK, OPEN, Call, Connection, Registration
from iii_cluster.chaos.recorder import Recorder
from iii_cluster.protocol.errors import FUNCTION_NOT_FOUND

from .door import Backoff, Door
from .pending import Frame, Outcome, Pending

OPEN_TIMEOUT = 5.0  # s for a handshake and the first frame
CONFIRM_INTERVAL = 0.25  # s between two looks whether the cluster knows our functions

Handler = Callable[["Client", Frame], None]


class Client:
    """`doors` are tried in order at each attempt to connect. `prefix` selects its functions in a listing."""

    def __init__(self, name: str, doors: Sequence[Door], recorder: Recorder, rng: random.Random, prefix: str) -> None:
        self.name = name
        self.functions: dict[str, Handler] = {}
        self.triggers: dict[str, Frame] = {}
        self.types: dict[str, Handler] = {}  # trigger type -> told of triggers added and removed
        self.subscribed: set[str] = set()  # functions that are told of workers that come and go
        self.on_connected: Callable[[], None] = lambda: None
        self.connection: Connection | None = None
        self.recorder = recorder
        self.pending = Pending()
        self.rng = rng
        self._doors = doors
        self._prefix = prefix
        self._socket: ClientConnection | None = None
        self._previous: tuple[str, str] | None = None  # worker id and token
        self._results: list[Frame] = []  # made while disconnected
        self._registrations: dict[str, Registration] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # Life

    async def run(self) -> None:
        """Stays connected until cancelled."""
        backoff = Backoff(self.rng)
        try:
            while True:
                if await self._live():
                    backoff.reset()
                await asyncio.sleep(backoff.wait())
        finally:
            for task in self._tasks:
                task.cancel()

    async def _live(self) -> bool:
        """One connection from beginning to end; False when there was none."""
        for door in self._doors:
            with contextlib.suppress(OSError, InvalidHandshake, InvalidMessage, ConnectionClosed, EOFError):
                async with asyncio.timeout(OPEN_TIMEOUT):
                    socket, hello = await door.enter()
                break
        else:
            return False
        await self._serve(socket, door, hello)
        return True

    async def _serve(self, socket: ClientConnection, door: Door, hello: Frame) -> None:
        worker = str(hello["worker_id"])
        connection = self.recorder.opened(self.name, door.gateway_of(worker), worker)
        self._socket, self.connection = socket, connection
        try:
            await self._replay(connection, hello)
            self.spawn(self._confirm(connection))
            async for text in socket:
                self._received(connection, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self._ended(connection, socket)
            await socket.close()

    def _ended(self, connection: Connection, socket: ClientConnection) -> None:
        self.connection = self._socket = None
        if self.recorder.history.ended != OPEN:
            return
        now = self.recorder.now()
        connection.closed = now
        connection.how = f"{socket.close_code} {socket.close_reason or ''}".strip()
        self._registrations.clear()
        self.pending.lost(now)

    async def leave(self, *, abruptly: bool) -> None:
        """Ends the connection, with a closing handshake or without; `run` has to be cancelled to stay away."""
        now = self.recorder.now()
        if self.connection is not None:
            self.connection.leaving = now
        for registration in self._registrations.values():
            registration.until = now
        if self._socket is not None and abruptly:
            self._socket.transport.abort()
        elif self._socket is not None:
            await self._socket.close()

    @property
    def port(self) -> int:
        """Its end of the connection, 0 while there is none."""
        return int(self._socket.local_address[1]) if self._socket is not None else 0

    # What it says

    async def _replay(self, connection: Connection, hello: Frame) -> None:
        """Reattach, then everything registered, then results that waited, as the published clients do."""
        self.on_connected()
        if self._previous is not None:
            await self.send("reattach", previous_worker_id=self._previous[0], reattach_token=self._previous[1])
        self._previous = (str(hello["worker_id"]), str(hello.get("reattach_token", "")))
        for type in self.types:
            await self.send("registertriggertype", id=type, description="chaos")
        for function in list(self.functions):
            await self._register(connection, function)
        for trigger in list(self.triggers.values()):
            await self.send("registertrigger", **trigger)
        while self._results:
            await self._send_frame(self._results.pop(0))
        await self._announce()

    async def _announce(self) -> None:
        data = {"runtime": "python", "version": "0.25.0", "name": self.name, "os": "chaos", "pid": 1}
        data["features"] = ["large-messages.v1"]
        await self.send("invokefunction", function_id="engine::workers::register", action={"type": "void"}, data=data)

    async def send(self, type: str, **fields: Any) -> None:
        """Lost with the connection; the next one replays what matters."""
        await self._send_frame({"type": type, **fields})

    async def _send_frame(self, frame: Frame) -> None:
        if self._socket is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(json.dumps(frame, separators=(",", ":")))

    async def register(self, function: str, handler: Handler) -> None:
        self.functions[function] = handler
        if self.connection is not None:
            await self._register(self.connection, function)

    async def unregister(self, function: str) -> None:
        del self.functions[function]
        registration = self._registrations.pop(function, None)
        if registration is not None:
            registration.until = self.recorder.now()
        await self.send("unregisterfunction", id=function)

    async def _register(self, connection: Connection, function: str) -> None:
        self._registrations[function] = self.recorder.registered(
            connection, function, subscribed=function in self.subscribed
        )
        await self.send("registerfunction", id=function)

    async def add_trigger(self, trigger: Frame) -> None:
        self.triggers[trigger["id"]] = trigger
        await self.send("registertrigger", **trigger)

    async def remove_trigger(self, id: str) -> None:
        trigger = self.triggers.pop(id)
        await self.send("unregistertrigger", id=id, trigger_type=trigger["trigger_type"])

    # Calls

    async def call(self, kind: str, function: str, **data: Any) -> asyncio.Future[Outcome] | None:
        """Sends a call whose number travels with it; None while there is no connection."""
        made = self._begin(kind, function)
        if made is None:
            return None
        call, future, fields = made
        if kind != ENGINE:
            data["n"] = call.n
            call.wait = data.get("wait", 0.0)
        await self._send_call(call, fields | {"data": data})
        return future

    async def invoke(
        self, kind: str, function: str, data: Any, action: Frame | None = None
    ) -> tuple[Call, asyncio.Future[Outcome]] | None:
        """Sends a call with this input and no number; None while there is no connection."""
        made = self._begin(kind, function)
        if made is None:
            return None
        call, future, fields = made
        await self._send_call(call, fields | {"data": data} | ({"action": action} if action else {}))
        return call, future

    def _begin(self, kind: str, function: str) -> tuple[Call, asyncio.Future[Outcome], Frame] | None:
        if self.connection is None:
            return None
        call = self.recorder.called(self.connection, kind, function)
        invocation = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        return call, self.pending.add(invocation, call), {"invocation_id": invocation, "function_id": function}

    async def _send_call(self, call: Call, fields: Frame) -> None:
        connection = self.connection
        await self.send("invokefunction", **fields)
        if self.connection is not connection and call.ended == OPEN:
            self.pending.lost(self.recorder.now())

    async def ask(self, function: str, **data: Any) -> Any:
        """The result of a function of the engine, None when it failed."""
        future = await self.call(ENGINE, function, **data)
        outcome, result = await future if future is not None else ("", None)
        return result if outcome == OK else None

    async def answer(self, invocation: Frame, result: Any, error: Frame | None = None) -> None:
        """An answer that can not be sent now is sent after the next replay; nobody waits for one without an id."""
        if not invocation.get("invocation_id"):
            return
        ids = {"invocation_id": invocation["invocation_id"], "function_id": invocation["function_id"]}
        frame = {"type": "invocationresult", **ids, **({"error": error} if error else {"result": result})}
        if self._socket is None:
            self._results.append(frame)
        else:
            await self._send_frame(frame)

    def spawn_send(self, type: str, **fields: Any) -> None:
        self.spawn(self.send(type, **fields))

    def spawn_answer(self, invocation: Frame, result: Any, after: float = 0.0) -> None:
        async def answer() -> None:
            await asyncio.sleep(after)
            await self.answer(invocation, result)

        self.spawn(answer())

    # What it hears

    def _received(self, connection: Connection, frame: Frame) -> None:
        match frame.get("type"):
            case "invokefunction":
                self._invoked(connection, frame)
            case "invocationresult":
                if not self.pending.answered(frame, self.recorder.now()):
                    self.recorder.strayed(connection, json.dumps(frame)[:200])
            case "registertrigger" | "unregistertrigger":
                handler = self.types.get(str(frame.get("trigger_type")))
                if handler is not None:
                    handler(self, frame)

    def _invoked(self, connection: Connection, frame: Frame) -> None:
        handler = self.functions.get(frame["function_id"])
        data = frame.get("data")
        if isinstance(data, dict) and "n" in data:
            self.recorder.executed(connection, data["n"])
        if handler is not None:
            handler(self, frame)
        else:
            error = {"code": FUNCTION_NOT_FOUND, "message": "Function not found"}
            ids = {"invocation_id": frame["invocation_id"], "function_id": frame["function_id"]}
            self.spawn(self.send("invocationresult", **ids, error=error))

    async def _confirm(self, connection: Connection) -> None:
        """Note from when on the cluster lists each of our functions as ours."""
        while self.connection is connection and self._unconfirmed():
            answer = await self.ask("engine::functions::list", prefix=self._prefix)
            rows = (answer or {}).get("functions", [])
            known = {row["function_id"] for row in rows if connection.worker in row.get("worker_ids", [])}
            for registration in self._unconfirmed():
                if registration.function in known:
                    registration.confirmed = self.recorder.now()
            if self._unconfirmed():
                await asyncio.sleep(CONFIRM_INTERVAL)

    def confirm_soon(self) -> None:
        """Look again after a registration that came later."""
        if self.connection is not None:
            self.spawn(self._confirm(self.connection))

    def _unconfirmed(self) -> list[Registration]:
        return [one for one in self._registrations.values() if one.confirmed == OPEN]

    @property
    def confirmed(self) -> bool:
        return self.connection is not None and not self._unconfirmed()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs it beside everything else, for as long as the worker lives."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def echo(client: Client, frame: Frame) -> None:
    """Answers with the number it was given, after the wait it was asked for."""
    data = frame["data"]
    client.spawn_answer(frame, {"n": data.get("n"), "by": client.name}, data.get("wait", 0.0))
