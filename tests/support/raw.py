"""A worker that speaks the wire protocol frame by frame, for assertions on exactly what is sent."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.eventually import eventually

TIMEOUT = 20.0  # seconds a frame, or a handshake, may take
MAX_FRAME = 16 * 2**20  # bytes

Frame = dict[str, Any]
Handler = Callable[[Frame], Any]


class CallFailed(Exception):
    """An `invocationresult` with an error body."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error
        self.code = error.get("code")
        self.message = error.get("message")


class RawWorker:
    """One connection. Frames are kept until `expect` asks for them; functions given to `serve` answer by themselves."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.worker_id = ""
        self.token: str | None = None
        self.frames: list[Frame] = []
        self.raw: list[str | bytes] = []
        self._arrived = asyncio.Condition()
        self._handlers: dict[str, Handler] = {}
        self._reader = asyncio.create_task(self._read())
        self.closed = False

    # Sending

    async def send(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    def send_together(self, *frames: Frame) -> None:
        """Several frames in one piece: the gateway reads them at once."""
        for frame in frames:
            self.socket.protocol.send_text(json.dumps(frame).encode())
        self.socket.transport.write(b"".join(self.socket.protocol.data_to_send()))

    async def send_text(self, text: str | bytes) -> None:
        """A text frame as it is; its bytes need not be UTF-8."""
        await self.socket.send(text, text=True)

    async def send_binary(self, data: bytes) -> None:
        await self.socket.send(data)

    async def announce(self, name: str = "raw", **fields: Any) -> None:
        """The call every published client sends after it has connected."""
        data = {"runtime": "python", "version": "0.23.0", "name": name, "os": "test", "pid": 1, **fields}
        void = {"type": "void"}
        await self.send("invokefunction", function_id="engine::workers::register", action=void, data=data)

    async def register(self, function_id: str, handler: Handler | None = None, **fields: Any) -> None:
        """Registers a function; with a handler it answers its calls, without one the test does."""
        if handler is not None:
            self._handlers[function_id] = handler
        await self.send("registerfunction", id=function_id, **fields)

    async def begin(self, function_id: str, data: Any = None, **fields: Any) -> str:
        """Sends a call and returns its id without waiting for the answer."""
        invocation_id = str(uuid.uuid4())
        await self.send("invokefunction", function_id=function_id, data=data, invocation_id=invocation_id, **fields)
        return invocation_id

    async def result(self, invocation_id: str, within: float = TIMEOUT) -> Frame:
        """The answer frame of a call, whatever it says."""
        return await self.expect("invocationresult", within=within, invocation_id=invocation_id)

    async def call(self, function_id: str, data: Any = None, *, within: float = TIMEOUT, **fields: Any) -> Any:
        """The result of a call; raises CallFailed for an error."""
        frame = await self.result(await self.begin(function_id, data, **fields), within)
        if frame.get("error") is not None:
            raise CallFailed(frame["error"])
        return frame.get("result")

    async def answer(self, invocation: Frame, result: Any = None, **fields: Any) -> None:
        """Answers an `invokefunction` frame that `expect` returned."""
        ids = {"invocation_id": invocation["invocation_id"], "function_id": invocation["function_id"]}
        await self.send("invocationresult", **ids, **({"result": result} if "error" not in fields else {}), **fields)

    async def flush(self) -> None:
        """Returns when the gateway has read everything sent before."""
        await self.send("ping")
        await self.expect("pong")

    # Receiving

    async def expect(self, type: str, *, within: float = TIMEOUT, **fields: Any) -> Frame:
        """Takes the oldest frame with these members, waiting for it if need be."""

        def match(frame: Frame) -> bool:
            return frame.get("type") == type and all(frame.get(key) == value for key, value in fields.items())

        try:
            async with asyncio.timeout(within), self._arrived:
                while True:
                    for index, frame in enumerate(self.frames):
                        if match(frame):
                            return self.frames.pop(index)
                    assert not self.closed, f"the connection ended without {type} {fields}: {self.frames}"
                    await self._arrived.wait()
        except TimeoutError:
            raise AssertionError(f"no {type} {fields} within {within} s, but {self.frames}") from None

    async def nothing(self, type: str, **fields: Any) -> None:
        """Fails if such a frame has come, after everything already under way at the gateway has arrived."""
        await self.flush()
        found = [f for f in self.frames if f.get("type") == type and all(f.get(k) == v for k, v in fields.items())]
        assert not found, found

    async def wait_closed(self, within: float = TIMEOUT) -> None:
        async with asyncio.timeout(within):
            await asyncio.wait([self._reader])

    async def close(self) -> None:
        await self.socket.close()
        await self._reader

    async def abort(self) -> None:
        """Ends the TCP connection without a closing handshake."""
        self.socket.transport.abort()
        await asyncio.wait([self._reader])

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                frame = json.loads(text)
                if frame["type"] == "invokefunction" and frame["function_id"] in self._handlers:
                    await self._serve(frame)
                    continue
                async with self._arrived:
                    self.raw.append(text)
                    self.frames.append(frame)
                    self._arrived.notify_all()
        except ConnectionClosed:
            pass
        finally:
            self.closed = True
            async with self._arrived:
                self._arrived.notify_all()

    async def _serve(self, frame: Frame) -> None:
        result = self._handlers[frame["function_id"]](frame)
        if isinstance(result, CallFailed):
            await self.answer(frame, error=result.error)
        else:
            await self.answer(frame, result)


@asynccontextmanager
async def raw_worker(
    url: str, *, name: str | None = "raw", options: Mapping[str, Any] | None = None, **announced: Any
) -> AsyncIterator[RawWorker]:
    """An open connection, announced under `name` unless that is None; `options` are those of `connect`."""
    # Some clients refuse single frames above this size, and the keepalive would hide a gateway that does not answer.
    given: dict[str, Any] = {"max_size": (None, MAX_FRAME), "ping_interval": None, "compression": None}
    given |= {"open_timeout": TIMEOUT, **(options or {})}
    async with connect(url, **given) as socket:
        worker = RawWorker(socket)
        try:
            hello = await worker.expect("workerregistered")
            worker.worker_id = hello["worker_id"]
            worker.token = hello.get("reattach_token")
            if name is not None:
                await worker.announce(name, **announced)
            yield worker
        finally:
            await worker.close()


async def known(worker: RawWorker, *functions: str, namespace: str = "default") -> None:
    """Returns when the cluster lists all of these functions to `worker`."""

    async def listed() -> bool:
        answer = await worker.call("engine::functions::list", {})
        unknown = set(functions) - {row["function_id"] for row in answer["functions"] if row["namespace"] == namespace}
        silent = answer.get("missing_nodes", [])
        assert not unknown, f"{len(unknown)} not listed: {sorted(unknown)[:10]}, and {silent} did not answer"
        return True

    await eventually(listed)


async def workers_listed(worker: RawWorker) -> set[str]:
    """The ids of all workers of the cluster, as `worker` sees them."""
    rows = (await worker.call("engine::workers::list", {}))["workers"]
    return {row["id"] for row in rows}


def echo(frame: Frame) -> Any:
    """Answers with what was sent."""
    return frame["data"]
