"""One request and its response, as the ASGI application sees them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from . import request_id
from .access_log import Entry
from .response import Response

if TYPE_CHECKING:
    from .connection import HttpConnection

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# What is kept of a body that nobody asks for before the socket is not read any more, bytes.
_HIGH_WATER = 64 * 2**10
# Larger pieces of a response are not copied to be framed, bytes.
_COPIED = 16 * 2**10
_CLIENT_GONE = 499  # in the log
# An answer may come before the end of the request's body. So much of the rest is read to keep the connection, bytes.
MAX_UNREAD = 2**20


class ExchangePort(Protocol):
    """The port, as its exchanges see it."""

    @property
    def date_line(self) -> bytes: ...

    def answered(self, exchange: "Exchange") -> None:
        """Its response is complete."""

    def ended(self, exchange: "Exchange") -> None:
        """The application has returned."""

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
        "complete",
        "disconnected",
        "expects_continue",
        "keep_alive",
        "more_body",
        "scope",
        "started_at",
        "status",
    )

    def __init__(self, connection: "HttpConnection", scope: Scope, keep_alive: bool, started_at: float) -> None:
        self._connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        self.started_at = started_at
        self.expects_continue = connection.expect_100_continue
        # The request.
        self.more_body = True
        self._parts: list[bytes] = []  # of the body, not yet received by the application
        self._buffered = 0  # bytes of them
        self._news = False  # there are some, or the end of the body
        self._event: asyncio.Event | None = None  # somebody has waited for news
        # The response.
        self.status = 0  # 0: not begun
        self.complete = False
        self.disconnected = False  # nobody gets what is sent
        self._head = b""  # not yet written: the first piece of the body goes with it
        self._chunked = False
        self._silent = False  # it has no body
        self._length: int | None = None  # bytes still to be sent
        self._sent = 0  # bytes

    async def run(self, application: Application) -> None:
        """The application's task; returns when it has ended."""
        try:
            await application(self.scope, self.receive, self.send)
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
                self.answer(self._connection.port.internal_error())
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

    async def receive(self) -> Message:
        """The body in pieces, then `http.disconnect` when the response is complete or the client gone."""
        if not self._news and not self.complete and not self.disconnected:
            await self._wait()
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        self._news = False
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._buffered = 0
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def _wait(self) -> None:
        if self.expects_continue:
            self.expects_continue = False
            if not self.status:
                self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        event = self._event
        if event is None:
            event = self._event = asyncio.Event()
        event.clear()
        self._connection.await_body(self)
        await event.wait()

    # -- the response ------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            raise ConnectionResetError("the client is gone")
        if message["type"] == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"an HTTP response has no {message['type']!r}")

    def answer(self, response: Response) -> None:
        """The whole response at once."""
        length = (b"content-length", b"%d" % len(response.body))
        self._start(response.status, (*response.headers, length))
        self._body(response.body, False)

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self.status:
            raise RuntimeError("the response has begun already")
        connection = self._connection
        without_body = status < 200 or status == 204 or status == 304
        content = [STATUS_LINE[status], connection.port.date_line]
        lines = 3  # those two and the empty one
        length: int | None = None
        named = False
        for name, value in headers:
            name = name.lower()
            if name == b"content-length":
                length = int(value)
                if without_body:
                    continue
            elif name == b"connection":
                if b"close" in value.lower():
                    self.keep_alive = False
                continue
            elif name == b"transfer-encoding":
                continue  # framing is done here
            elif name == request_id.HEADER:
                named = True
            content += (name, b": ", value, b"\r\n")
            lines += 1
        if not named:
            content += (b"x-request-id: ", self.scope["iii.request_id"].encode("ascii"), b"\r\n")
            lines += 1
        self._silent = without_body or self.scope["method"] == "HEAD"
        self._chunked = not self._silent and length is None and self.scope["http_version"] == "1.1"
        self._length = None if self._silent else length
        if self._chunked:
            content.append(b"transfer-encoding: chunked\r\n")
            lines += 1
        elif length is None and not self._silent:
            self.keep_alive = False  # the end of the connection is the end of the body
        if not self.keep_alive or connection.leaving or (length is not None and self._leaves_too_much):
            self.keep_alive = False
            content.append(b"connection: close\r\n")
            lines += 1
        content.append(b"\r\n")
        head = b"".join(content)
        if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
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
        """Together, and with the head if that has not gone: the transport writes at once, whatever it is given."""
        head, self._head = self._head, b""
        if sum(map(len, parts)) < _COPIED:
            self._connection.transport.write(head + b"".join(parts))
        else:
            self._connection.transport.writelines((head, *parts) if head else parts)

    # -- afterwards --------------------------------------------------------------------------------

    def entry(self, now: float) -> Entry:
        """For the access log."""
        scope = self.scope
        return Entry(
            scope["method"],
            scope["raw_path"],
            self.status or _CLIENT_GONE,
            self._sent,
            now - self.started_at,
            self._connection.who,
            scope["iii.request_id"],
            self._header(b"traceparent"),
        )

    @property
    def origin(self) -> str:
        return self._header(b"origin").decode("latin-1")

    def _header(self, wanted: bytes) -> bytes:
        """The first one of this name, b"" for none."""
        return next((value for name, value in self.scope["headers"] if name == wanted), b"")
