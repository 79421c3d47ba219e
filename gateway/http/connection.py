"""One HTTP connection: uvicorn's protocol, with limits, deadlines and an end in good order.

uvicorn has the parser and the flow control. What is different here: deadlines are looked at once a second instead of a
timer each; requests are counted; the answer to what cannot be served comes after those before it; and a connection
whose client still sends is closed so that the client can read the answer.
"""

import asyncio
from collections import deque
from math import inf
from typing import Any, Protocol

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from iii_cluster.modules.http.config import HttpConfig

from . import heads, request_id
from .exchange import MAX_UNREAD, Exchange, ExchangePort, Head
from .outgoing import Outgoing, OutgoingPort

# The parser gets so much at once: what a flood of pipelined requests can make of a read is bounded by it, bytes.
_SLICE = 16 * 2**10
_MAX_PIPELINE = 16  # requests that wait for the one before; of a client with more nothing is read
MAX_HEADERS = 256

# Where the parser is.
_BETWEEN = 0
_HEAD = 1
_BODY = 2


class HttpPort(ExchangePort, OutgoingPort, Protocol):
    """The port of a connection, as the connection sees it."""

    limits: HttpConfig
    ids: request_id.RequestIds

    def opened(self, connection: Any) -> bool:
        """False: one too many, refuse it."""

    def begin(self, exchange: Exchange) -> None:
        """Serve it, or answer at once that there are too many."""

    def refusal(self, connection: Any, status: int, message: str) -> bytes:
        """A whole response that closes the connection."""


class HttpConnection(Outgoing):
    """From accept to close."""

    __slots__ = (
        "_chunk",
        "_deaf",
        "_eof",
        "_fed",
        "_held",
        "_last_words",
        "_stage",
        "_upgrading",
        "leaving",
        "parting",
        "port",
        "running",
    )

    cycle: Exchange | None  # type: ignore[assignment]  # whose body is being read
    pipeline: deque[Exchange]  # type: ignore[assignment]  # those that wait for the running one

    def __init__(self, port: HttpPort, config: Config, state: ServerState) -> None:
        super().__init__(port, config, state)
        self.port = port
        self.running: Exchange | None = None
        self.leaving = False  # the next response is the last one
        self.parting = False  # without a request it is closed
        self._stage = _BETWEEN
        self._deaf = False  # what the client says is ignored
        self._eof = False  # the client says nothing more, but it may be waiting for answers
        self._upgrading = False
        self._chunk = 0  # bytes the parser is at
        self._fed = 0  # bytes since the head began, or since the body made progress
        self._held = b""  # read, and not parsed because too many requests wait
        self._last_words = b""  # to be said when all before it are answered

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadline = self.loop.time() + self.port.limits.keep_alive_timeout
        if not self.port.opened(self):
            self._refuse(503, "This gateway has no connections left")

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._leave_exchanges()
        super().connection_lost(exc)

    def _leave_exchanges(self) -> None:
        if self.running is not None:
            self.running.disconnect()
            self.running = None
        self.pipeline.clear()
        self.cycle = None
        self._held = b""

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has asked and closed only its side gets its answers, if they come soon: it looks like one
        that is gone. Others are gone."""
        self._eof = True
        waiting = self.running is not None and not self.running.status
        if self.closing or self._stage != _BETWEEN or not waiting or self.scheme == "https":
            self._close()
            return False
        self.deadline = self.loop.time() + self.port.stall_timeout
        return True

    # -- the parser --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self.ignore(data)
        elif self._held:
            self._held += data
        elif len(data) <= _SLICE:
            self._feed(data)
        else:
            self._feed_slices(data)

    def _feed_slices(self, data: bytes) -> None:
        for at in range(0, len(data), _SLICE):
            if self._deaf:
                return
            if self._held:  # by a request that was read again without its upgrade
                self._held += data[at:]
                return
            if len(self.pipeline) >= _MAX_PIPELINE:
                self._held = data[at:]
                self.flow.pause_reading()
                return
            self._feed(data[at : at + _SLICE])

    def _feed(self, data: bytes) -> None:
        self._chunk = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError):
                self.port.failed()
            self._refuse(400, "The request is malformed")
            return
        if self._stage != _BETWEEN and not self._deaf:
            self._fed += len(data)
            if self._fed > self.port.limits.max_header_bytes + _SLICE:
                self._too_long()
            elif self._stage == _HEAD and len(self.headers) > MAX_HEADERS:
                self._too_many()  # each takes far more than its bytes: the end of the head is not waited for

    def _too_long(self) -> None:
        """A head without end, or what stands around a body: extensions of chunks, trailers."""
        if self._stage == _HEAD:
            self._refuse(431, "The request line and the headers are too long")
        elif self.cycle is None or not self.cycle.complete:
            self._refuse(400, "The trailers or the chunk extensions are too long")
        elif self._fed > MAX_UNREAD:
            self._close()

    def _too_many(self) -> None:
        self._refuse(431, f"A request has {MAX_HEADERS} headers at most")

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage = _HEAD
        self._fed = 0
        self.cycle = None
        if not self._deaf:
            self.deadline = self.loop.time() + self.port.limits.header_timeout

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage != _HEAD or len(self.headers) > MAX_HEADERS:  # trailers are nobody's
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._stage = _BODY
        if self._deaf:
            return
        self.deadline = inf
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(501, "This is no proxy")
        elif len(self.headers) > MAX_HEADERS:
            self._too_many()
        elif self.parser.should_upgrade():
            self._upgrading = True
        else:
            self._on_head(method.decode("ascii"), self.parser.get_http_version())

    def _on_head(self, method: str, version: str) -> None:
        given: bytes | None = None
        hosts = 0
        for name, value in self.headers:
            if name == request_id.HEADER:
                given = value
            elif name == b"host":
                hosts += 1
            elif name == b"transfer-encoding" and value.lower() != b"chunked":
                self._refuse(501, "The only transfer encoding is chunked")
                return
        limit = self.port.limits.max_header_bytes
        if self._fed + self._chunk > limit and heads.size(self.url, self.headers) > limit:
            self._refuse(431, "The request line and the headers are too long")
        elif version not in ("1.1", "1.0"):
            self._refuse(505, "This is an HTTP/1.1 server")
        elif hosts > 1:  # whoever stands in front may have gone by the other one
            self._refuse(400, "The request has several hosts")
        else:
            path, query = heads.target(self.url)
            head = Head(method, path, query, version, self.headers)
            keep_alive = version == "1.1" and self.parser.should_keep_alive()
            self._take(Exchange(self, head, self.port.ids.of(given), keep_alive))

    def _take(self, exchange: Exchange) -> None:
        self.cycle = exchange
        if self.running is None and not self.pipeline:
            self._begin(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.append(exchange)

    def on_body(self, body: bytes) -> None:
        exchange = self.cycle
        if exchange is None or exchange.complete or self._deaf:
            return  # what is read without use is counted
        self._fed = 0
        self.deadline = inf
        if exchange.on_body(body):
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self._upgrading or self._deaf:
            return
        self._stage = _BETWEEN
        self.deadline = inf
        exchange = self.cycle
        if exchange is None:
            return
        exchange.more_body = False
        if not exchange.complete:
            exchange.wake()
        elif self.running is None and not self.pipeline:
            self._rest()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request again as if it asked for no other protocol: the parser would skip its body."""
        self._upgrading = False
        if not self._deaf:
            parser = self.parser
            head = heads.without_upgrade(parser.get_method(), self.url, parser.get_http_version(), self.headers)
            self._feed_slices(head + rest)

    # -- one request after the other ---------------------------------------------------------------

    def _begin(self, exchange: Exchange) -> None:
        self.running = exchange
        self.port.begin(exchange)

    def await_body(self, exchange: Exchange) -> None:
        """The application waits for more of the body, or for the client to go."""
        if not self.pipeline and not self._held:
            self.flow.resume_reading()
        if exchange.more_body and exchange is self.cycle:
            self.deadline = self.loop.time() + self.port.limits.body_timeout

    def completed(self, exchange: Exchange) -> None:
        """The response of the running exchange is written."""
        self.running = None
        if not exchange.keep_alive:
            self._close()
        elif self.pipeline or self._held:
            self.loop.call_soon(self._proceed)
        elif self._last_words:
            self._say_last_words()
        elif self._stage == _BETWEEN:
            self._rest()
        else:
            self._read_on()

    def _proceed(self) -> None:
        """Serve what waits, and parse what was read meanwhile: perhaps the rest of a body."""
        if self.closing:
            return
        if self.running is None and self.pipeline:
            self._begin(self.pipeline.popleft())
        if self._held and len(self.pipeline) < _MAX_PIPELINE:
            held, self._held = self._held, b""
            self._feed_slices(held)
        if self.pipeline or self._held:
            return
        if self.running is None and self._stage == _BETWEEN:
            self._rest()
        else:
            self.flow.resume_reading()

    def _rest(self) -> None:
        """Nothing is asked: keep what the connection needs, and no more."""
        if self.parting or self._eof:
            self._close()
        elif not self._deaf:
            self.deadline = self.loop.time() + self.port.limits.keep_alive_timeout
            self.cycle = None
            self.headers = None  # type: ignore[assignment]
            self.flow.resume_reading()

    def _read_on(self) -> None:
        """The response is complete, but its request is not, or the head of the next one."""
        if self._stage == _BODY:
            self._fed = 0
            self.deadline = self.loop.time() + self.port.limits.body_timeout
        self.flow.resume_reading()

    # -- the end -----------------------------------------------------------------------------------

    def part(self) -> None:
        """Serve what is under way, then close."""
        self.leaving = self.parting = True
        if self.running is None and not self.pipeline and self._stage == _BETWEEN:
            self._close()

    def cut(self) -> None:
        """Now."""
        self._deaf = True
        self._leave_exchanges()
        self.abort()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is being read when all before it are answered, and close."""
        if self._deaf:
            return
        self._deaf = True
        self._last_words = self.port.refusal(self, status, message)
        self._held = b""
        self._fed = 0
        self.deadline = inf
        exchange = self.cycle
        if exchange is not None and not exchange.complete:  # what is being read is its body
            if exchange is self.running:
                self._refuse_running(exchange, status)
                return
            self.pipeline.remove(exchange)
        if self.running is None and not self.pipeline:
            self._say_last_words()
        else:
            self.flow.pause_reading()

    def _refuse_running(self, exchange: Exchange, status: int) -> None:
        if exchange.status:
            self.cut()
        else:
            exchange.status = status
            self._say_last_words()

    def _say_last_words(self) -> None:
        self.transport.write(self._last_words)
        self._close()

    def _close(self) -> None:
        if self.closing:
            return
        sending = not self._eof and bool(self._stage != _BETWEEN or self._last_words or self._held or self.pipeline)
        self._deaf = True
        self._leave_exchanges()
        self.finish(sending=sending)

    # -- time --------------------------------------------------------------------------------------

    def overdue(self, now: float) -> None:
        """The deadline has passed."""
        if self.closing:
            self.still_open(now)
        elif self._stage == _HEAD:
            self._refuse(408, "The headers did not arrive in time")
        elif self._eof and self.running is not None and self.running.status:
            self.deadline = inf  # somebody takes it: who is gone resets the connection
        elif self._stage == _BODY and self.running is not None:
            self._refuse(408, "The body did not arrive in time")
        else:
            self._close()
