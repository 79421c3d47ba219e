"""The HTTP application without a port, a bus or workers: functions and clients are given by the test."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from gateway.call import Call
from gateway.call_telemetry import CallTelemetry
from gateway.channels.channel import Channel
from gateway.channels.ends import ReaderEnd, WriterEnd
from gateway.channels.home import Home
from gateway.http.app import App
from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.http.config import HttpConfig
from iii_cluster.protocol.errors import error_body
from iii_cluster.routing.ids import Ids
from iii_cluster.telemetry.spool import Spool
from iii_cluster.telemetry.tracing import Tracer

Handler = Callable[[dict[str, Any]], Any]
JSON = [("content-type", "application/json")]
NEVER = object()  # returned by a handler that does not answer


class Failed(Exception):
    """Raised by handlers: the function ends with this error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.body = error_body(code, message)


def ok(request: dict[str, Any]) -> Any:
    """A handler, as are those below."""
    return {"body": "ok"}


def always(result: Any) -> Handler:
    return lambda _: result


def fails(request: dict[str, Any]) -> Any:
    raise Failed("NO_STOCK", "nothing left")


class Client:
    """One request and what is sent for it. `more` gives further pieces of the body; None: the client goes."""

    def __init__(self, body: bytes, complete: bool) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._first: dict[str, Any] = {"type": "http.request", "body": body, "more_body": not complete}
        self._messages.put_nowait(self._first)
        self.received = 0  # pieces the application has taken
        self.head: dict[str, Any] = {}
        self.pieces: list[bytes] = []
        self.complete = False
        self.gone = False
        self.arrived = asyncio.Event()
        self.reads = asyncio.Event()  # cleared: it takes nothing more
        self.reads.set()

    def more(self, body: bytes | None, *, last: bool = False) -> None:
        if body is None:
            self.gone = True
            self._messages.put_nowait({"type": "http.disconnect"})
        else:
            self._messages.put_nowait({"type": "http.request", "body": body, "more_body": not last})

    def whole_body(self, limit: int) -> bytes | None:
        """The body, if it came with the request."""
        if self.received or self._first["more_body"] or len(self._first["body"]) > limit:
            return None
        self.received += 1
        self._messages.get_nowait()
        return cast("bytes", self._first["body"])

    async def receive(self) -> dict[str, Any]:
        message = await self._messages.get()
        self.received += 1
        if message["type"] == "http.disconnect":
            self.more(None)
        return message

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.take(message)

    def take(self, message: dict[str, Any]) -> None:
        assert not self.complete
        if message["type"] == "http.response.start":
            assert not self.head
            self.head = message
        else:
            assert self.head
            if message.get("body"):
                self.pieces.append(message["body"])
            self.complete = not message.get("more_body", False)
        self.arrived.set()

    @property
    def status(self) -> int:
        return cast("int", self.head["status"])

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode()) for name, value in self.head["headers"]]

    def header(self, name: str) -> str | None:
        values = [value for known, value in self.headers if known == name]
        assert len(values) < 2, values
        return values[0] if values else None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeExchange:
    """The port's side of a request, as the application sees it."""

    def __init__(
        self, client: Client, method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.version, self.scheme = "1.1", "http"
        self.route, self.traceparent = "", b""
        self.task: asyncio.Task[None] | None = None
        self.receive = client.receive
        self.send = client.send
        self._client = client
        self._answered = asyncio.Event()

    def begin(self, app: App) -> None:
        rest = app(cast("Any", self))
        if rest is not None:
            self.go_on(rest)

    def go_on(self, rest: Coroutine[Any, Any, None]) -> None:
        assert self.task is None
        self.task = asyncio.create_task(rest)
        self._answered.set()

    async def ended(self) -> None:
        await self._answered.wait()
        if self.task is not None:
            await self.task

    @property
    def status(self) -> int:
        return self._client.status if self._client.head else 0

    @property
    def complete(self) -> bool:
        return self._client.complete

    @property
    def disconnected(self) -> bool:
        return self._client.gone

    @property
    def taking(self) -> bool:
        return self._client.reads.is_set()

    def whole_body(self, limit: int) -> bytes | None:
        return self._client.whole_body(limit)

    async def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        await self._client.reads.wait()
        self.answer(status, headers, body)

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """As the port does it."""
        length = () if status in (204, 304) else ((b"content-length", b"%d" % len(body)),)
        self._client.take({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
        self._client.take({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})
        self._answered.set()


class FakeCluster:
    """Implements what the application asks of engine, core and channels."""

    def __init__(self, **config: Any) -> None:
        self.triggers: dict[str, Trigger] = {}
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.calls: list[Call] = []
        self.looks = 0  # at the triggers
        self.home = Home(Ids("gateway-0badcafe"))
        self.changed: Callable[[], None] = lambda: None
        self.told = asyncio.Event()  # of the triggers
        self.told.set()
        self.tracer = Tracer(Spool(), enabled=False)
        core = SimpleNamespace(own=SimpleNamespace(start=self._start), telemetry=CallTelemetry(self.tracer))
        self.app = App(msgspec.convert(config, HttpConfig), cast("Any", self), cast("Any", core), cast("Any", self))
        self.app.start()

    # -- as the engine -----------------------------------------------------------------------------

    @property
    def known(self) -> bool:
        return self.told.is_set()

    async def until_known(self) -> None:
        await self.told.wait()

    def watch(self, trigger_type: str, changed: Callable[[], None]) -> "FakeCluster":
        assert trigger_type == "http"
        self.changed = changed
        return self

    def all(self) -> Collection[Trigger]:
        self.looks += 1
        return self.triggers.values()

    def _start(self, call: Call) -> None:
        self.calls.append(call)
        done = call.done
        assert done is not None
        handler = self.handlers.get((call.namespace, call.function))
        if handler is None:
            done(b"", error_body("function_not_found", f"Function {call.function} not found"))
            return
        try:
            result = handler(json.loads(call.data))
        except Failed as failed:
            done(b"", failed.body)
            return
        if result is not NEVER:
            asyncio.get_running_loop().call_soon(done, json.dumps(result).encode(), b"")

    # -- as channels -------------------------------------------------------------------------------

    def create(self) -> Channel:
        return self.home.create(64, "")

    def discard(self, channel: Channel) -> None:
        self.home.discard(channel)

    def _taken(self, ref: dict[str, str], direction: str) -> Channel:
        assert ref["direction"] == direction
        channel = self.home.find(ref["channel_id"])
        assert channel is not None
        assert channel.opens(ref["access_key"])
        assert channel.take(write=direction == "write")
        return channel

    def writer(self, request: dict[str, Any]) -> WriterEnd:
        """A worker connects to write the response."""
        return WriterEnd(self._taken(request["response"], "write").pipe, opened=True)

    def reader(self, request: dict[str, Any]) -> ReaderEnd:
        """A worker connects to read the body."""
        return ReaderEnd(self._taken(request["request_body"], "read").pipe, opened=True)

    # -- for tests ---------------------------------------------------------------------------------

    def route(self, path: str, handler: Handler, method: str = "GET", *, metadata: Any = None, **config: Any) -> None:
        """A function with the id of the path, in the trigger's namespace, for requests of that path."""
        namespace = config.pop("namespace", "default")
        config = {"api_path": path, "http_method": method, **config}
        known = Trigger(
            f"{method} {path}",
            "http",
            f"{method} {path}",
            json.dumps(config).encode(),
            json.dumps(metadata).encode() if metadata is not None else b"",
            namespace,
        )
        self.handlers[namespace, known.function] = handler
        self.triggers[known.id] = known
        self.app._refresh()

    @asynccontextmanager
    async def asking(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        complete: bool = True,
    ) -> AsyncIterator[Client]:
        """A request under way; when the block ends the application must have ended with it."""
        client = Client(body, complete)
        path, _, query = target.partition("?")
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        if body and not any(name == b"content-length" for name, _ in raw) and complete:
            raw.append((b"content-length", str(len(body)).encode()))
        elif not complete:
            raw.append((b"transfer-encoding", b"chunked"))
        exchange = FakeExchange(client, method, path.encode(), query.encode(), raw)
        exchange.begin(self.app)
        try:
            yield client
            await asyncio.wait_for(exchange.ended(), 10)
        finally:
            if exchange.task is not None:
                exchange.task.cancel()

    async def ask(self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Client:
        async with self.asking(method, target, headers, body) as client:
            pass
        assert client.complete
        return client

    def called(self, function: str) -> list[dict[str, Any]]:
        """The inputs of its calls."""
        return [json.loads(call.data) for call in self.calls if call.function == function]
