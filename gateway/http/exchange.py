"""One request and its response, as the application sees them. Bodies in pieces go as ASGI has it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from .access_log import Entry
from .request_id import HEADER as X_REQUEST_ID
from .response import Header, Response

if TYPE_CHECKING:
    from .connection import HttpConnection

Message = MutableMapping[str, Any]
# Returns what is left to be done, as a task; None: the answer comes without one.
Application = Callable[["Exchange"], Coroutine[Any, Any, None] | None]

# What is kept of a body that nobody asks for before the socket is not read any more, bytes.
_HIGH_WATER = 64 * 2**10
# Larger pieces of a response are not copied to be framed, bytes.
_COPIED = 16 * 2**10
_CLIENT_GONE = 499  # in the log
# An answer may come before the end of the request's body. So much of the rest is read to keep the connection, bytes.
MAX_UNREAD = 2**20
_FRAMING = frozenset((b"connection", b"content-length", b"transfer-encoding"))


class Head(NamedTuple):
    """Of a request."""

    method: str
    path: bytes  # as it came, like the query
    query: bytes
    version: str  # "1.1" or "1.0"
    headers: list[Header]  # names in lower case


class ExchangePort(Protocol):
    """The port, as its exchanges see it."""

    @property
    def date_line(self) -> bytes: ...

    def answered(self, exchange: "Exchange") -> None:
        """Its response is complete."""

    def ended(self, exchange: "Exchange") -> None:
        """The application has, with its task."""

    def spawn(self, running: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """To be ended with the port."""

    def failed(self) -> None:
        """An exception that is a mistake of ours is being handled."""

    def internal_error(self) -> Response: ...


class Exchange:
    """From the end of the request's headers to the end of the response."""

    __slots__ = (
        "_buffered",
        "_chunked",
        "_connection",
        "_event",
        "_head",
        "_length",
        "_news",
        "_parts",
        "_sent",
        "_silent",
        "_waiting",
        "complete",
        "disconnected",
        "expects_continue",
        "headers",
        "keep_alive",
        "method",
        "more_body",
        "path",
        "query",
        "request_id",
        "route",
        "started_at",
        "status",
        "task",
        "traceparent",
        "version",
    )

    def __init__(self, connection: "HttpConnection", head: Head, request_id: str, keep_alive: bool) -> None:
        self._connection = connection
        self.method, self.path, self.query, self.version, self.headers = head
        self.request_id = request_id
        self.keep_alive = keep_alive
        self.started_at = connection.loop.time()
        self.route = ""  # the template that matched
        self.traceparent = b""  # of its span, a JSON string
        self.expects_continue = connection.expect_100_continue
        self.task: asyncio.Task[None] | None = None  # the application's
        # The request's body.
        self.more_body = True
        self._parts: list[bytes] = []  # of the body, not yet received by the application
        self._buffered = 0  # bytes of them
        self._news = False  # there are some, or the end of the body
        self._event: asyncio.Event | None = None  # somebody has waited for news
        self._waiting = 0  # how many do now
        # The response.
        self.status = 0  # 0: not begun
        self.complete = False
        self.disconnected = False  # nobody gets what is sent
        self._head = b""  # not yet written: the first piece of the body goes with it
        self._chunked = False
        self._silent = False  # it has no body
        self._length: int | None = None  # bytes still to be sent
        self._sent = 0  # bytes

    def begin(self, application: Application) -> None:
        """Serve it."""
        try:
            rest = application(self)
        except Exception:
            self._connection.port.failed()
            self._end()
            return
        if rest is not None:
            self.go_on(rest)

    def go_on(self, rest: Coroutine[Any, Any, None]) -> None:
        """What cannot be done at once becomes a task; it is the only one, and the last that is said."""
        self.task = self._connection.port.spawn(self._run(rest))

    async def _run(self, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        except Exception as error:
            if not (self.disconnected and isinstance(error, OSError)):
                self._connection.port.failed()
        finally:
            self._end()

    def _end(self) -> None:
        """The application says nothing more."""
        if not self.complete and not self.disconnected:
            if self.status:
                self._connection.cut()
            else:
                self.answer(*self._connection.port.internal_error())
        self._connection.port.ended(self)

    # -- the request -------------------------------------------------------------------------------

    def on_body(self, body: bytes) -> bool:
        """True when so much waits that no more should be read."""
        self._parts.append(body)
        self._buffered += len(body)
        self.wake()
        return self._buffered > _HIGH_WATER

    def wake(self) -> None:
        self._news = True
        if self._event is not None:
            self._event.set()

    def disconnect(self) -> None:
        """Nobody gets what is sent any more."""
        self.disconnected = True
        self._connection.flow.resume_writing()
        self.wake()
        if self.status and not self.complete and not self._waiting and self.task is not None:
            self.task.cancel()  # it streams, and would not hear of it before it sends more

    def whole_body(self, limit: int) -> bytes | None:
        """The whole body, if it is here and has `limit` bytes at most."""
        if self.more_body or not self._news or self._buffered > limit or self.disconnected or self.complete:
            return None
        return self._take()

    def _take(self) -> bytes:
        self._news = False
        parts, self._parts = self._parts, []
        self._buffered = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def receive(self) -> Message:
        """The body in pieces, then `http.disconnect` when the response is complete or the client gone."""
        if not self._news and not self.complete and not self.disconnected:
            await self._wait()
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._take(), "more_body": self.more_body}

    async def _wait(self) -> None:
        if self.expects_continue:
            self.expects_continue = False
            if not self.status:
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        event = self._event
        if event is None:
            event = self._event = asyncio.Event()
        event.clear()
        self._connection.await_body(self)
        self._waiting += 1
        try:
            await event.wait()
        finally:
            self._waiting -= 1

    # -- the response ------------------------------------------------------------------------------

    @property
    def taking(self) -> bool:
        """The client is there, and keeps up."""
        return not (self.disconnected or self._connection.flow.write_paused)

    async def respond(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """The whole response, as soon as the client takes it; see `send`."""
        if not self.taking:
            await self._taken()
        self.answer(status, headers, body)

    async def send(self, message: Message) -> None:
        """A head or a piece of the body; header names are in lower case. Raises ConnectionResetError when the client
        is gone."""
        if not self.taking:
            await self._taken()
        if message["type"] == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"an HTTP response has no {message['type']!r}")

    async def _taken(self) -> None:
        """Returns when the client has taken most of what was sent."""
        if not self.disconnected:
            await self._connection.flow.drain()
        if self.disconnected:
            raise ConnectionResetError("the client is gone")

    def answer(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """The whole response, now."""
        self._start(status, headers, len(body))
        self._body(body, False)

    def _start(self, status: int, headers: Iterable[Header], length: int | None = None) -> None:
        if self.status:
            raise RuntimeError("the response has begun already")
        connection = self._connection
        without_body = status < 200 or status == 204 or status == 304
        lines = [STATUS_LINE[status], connection.port.date_line]
        named = False
        for name, value in headers:
            if name in _FRAMING:  # that is done here
                if name == b"content-length":
                    length = int(value)
                elif name == b"connection" and b"close" in value.lower():
                    self.keep_alive = False
                continue
            named = named or name == X_REQUEST_ID
            lines.append(b"%b: %b\r\n" % (name, value))
        if not named:
            lines.append(b"x-request-id: %b\r\n" % self.request_id.encode("ascii"))
        if length is not None and not without_body:
            lines.append(b"content-length: %d\r\n" % length)
        self._silent = without_body or self.method == "HEAD"
        self._length = None if self._silent else length
        if length is None and not self._silent:
            self._chunked = self.version == "1.1"
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False  # the end of the connection is the end of the body
        if not self.keep_alive or connection.leaving or (length is not None and self._leaves_too_much):
            self.keep_alive = False
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
            raise ValueError("a header contains the end of a line")
        self.status = status
        self._head = head

    @property
    def _leaves_too_much(self) -> bool:
        """Whether the rest of the request's body will not be read: nothing can be asked after it."""
        return self.more_body and int(self._header(b"content-length") or 0) > MAX_UNREAD

    def _body(self, body: bytes, more: bool) -> None:
        if not self.status or self.complete:
            raise RuntimeError("a body is sent after the head and before the end of the response")
        if body and not self._silent:
            self._write(body)
        elif self._head:
            self._put(b"")
        if more:
            return
        if self._length:
            raise RuntimeError("the body is shorter than its content-length")
        if self._chunked:
            self._put(b"0\r\n\r\n")
        self.complete = True
        if self._event is not None:
            self._event.set()
        self._connection.port.answered(self)
        self._connection.completed(self)

    def _write(self, body: bytes) -> None:
        self._sent += len(body)
        if self._length is not None:
            self._length -= len(body)
            if self._length < 0:
                raise RuntimeError("the body is longer than its content-length")
            self._put(body)
        elif self._chunked:
            self._put(b"%x\r\n" % len(body), body, b"\r\n")
        else:
            self._put(body)

    def _put(self, *parts: bytes) -> None:
        """Together, and with the head if that has not gone."""
        head, self._head = self._head, b""
        if sum(map(len, parts)) >= _COPIED:
            self._connection.write(head, *parts)
        elif head and self._length == 0:  # a whole response
            self._connection.write_soon(head + b"".join(parts))
        else:
            self._connection.write(head + b"".join(parts))

    # -- afterwards --------------------------------------------------------------------------------

    def entry(self, now: float) -> Entry:
        """For the access log."""
        return Entry(
            self.method,
            self.path,
            self.status or _CLIENT_GONE,
            self._sent,
            now - self.started_at,
            self._connection.who,
            self.request_id,
            self.traceparent[1:-1] or self._header(b"traceparent"),
        )

    @property
    def scheme(self) -> str:
        return self._connection.scheme or "http"

    @property
    def origin(self) -> str:
        return self._header(b"origin").decode("latin-1")

    def _header(self, wanted: bytes) -> bytes:
        """The first one of this name, b"" for none."""
        return next((value for name, value in self.headers if name == wanted), b"")
