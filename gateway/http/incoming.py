"""What an HTTP client sends: uvicorn's parser and flow control, with limits. How requests are served is elsewhere."""

from collections import deque
from math import inf
from typing import Protocol

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from iii_cluster.modules.http.config import HttpConfig

from . import heads, request_id
from .exchange import MAX_UNREAD, Exchange, Head
from .outgoing import Outgoing, OutgoingPort

# The parser gets so much at once: what a flood of pipelined requests can make of a read is bounded by it, bytes.
_SLICE = 16 * 2**10
MAX_PIPELINE = 16  # requests that wait for the one before; of a client with more nothing is read
MAX_HEADERS = 256

# Where the parser is.
BETWEEN = 0
HEAD = 1
BODY = 2


class IncomingPort(OutgoingPort, Protocol):
    """The port, as this half of a connection sees it."""

    limits: HttpConfig

    def failed(self) -> None:
        """An exception that is a mistake of ours is being handled."""


class Incoming(Outgoing):
    """A connection that reads heads and bodies no longer, and no faster, than they may be."""

    __slots__ = ("_chunk", "_deaf", "_fed", "_held", "_stage", "_upgrading", "port")

    cycle: Exchange | None  # type: ignore[assignment]  # whose body is being read
    pipeline: deque[Exchange]  # type: ignore[assignment]  # those that wait for the running one

    def __init__(self, port: IncomingPort, config: Config, state: ServerState) -> None:
        super().__init__(port, config, state)
        self.port = port
        self._stage = BETWEEN
        self._deaf = False  # what the client says is ignored
        self._upgrading = False
        self._chunk = 0  # bytes the parser is at
        self._fed = 0  # bytes since the head began, or since the body made progress
        self._held = b""  # read, and not parsed because too many requests wait

    # -- for subclasses ----------------------------------------------------------------------------

    def _on_request(self, head: Head, given_id: bytes | None, keep_alive: bool) -> None:
        raise NotImplementedError

    def _on_complete(self) -> None:
        """A request was read to its end, after its response was complete."""
        raise NotImplementedError

    def _refuse(self, status: int, message: str) -> None:
        """What is being read cannot be served."""
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    # -- bytes -------------------------------------------------------------------------------------

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
            if len(self.pipeline) >= MAX_PIPELINE:
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
        if self._stage != BETWEEN and not self._deaf:
            self._fed += len(data)
            if self._fed > self.port.limits.max_header_bytes + _SLICE:
                self._too_long()
            elif self._stage == HEAD and len(self.headers) > MAX_HEADERS:
                self._too_many()  # each takes far more than its bytes: the end of the head is not waited for

    def _too_long(self) -> None:
        """A head without end, or what stands around a body: extensions of chunks, trailers."""
        if self._stage == HEAD:
            self._refuse(431, "The request line and the headers are too long")
        elif self.cycle is None or not self.cycle.complete:
            self._refuse(400, "The trailers or the chunk extensions are too long")
        elif self._fed > MAX_UNREAD:
            self._close()

    def _too_many(self) -> None:
        self._refuse(431, f"A request has {MAX_HEADERS} headers at most")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request again as if it asked for no other protocol: the parser would skip its body."""
        self._upgrading = False
        if not self._deaf:
            parser = self.parser
            head = heads.without_upgrade(parser.get_method(), self.url, parser.get_http_version(), self.headers)
            self._renew_parser()
            self._feed_slices(head + rest)

    def _renew_parser(self) -> None:
        """The one that read the head takes nothing more if that asks to close."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's: ignored, no error

    # -- the parser --------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage = HEAD
        self._fed = 0
        self.cycle = None
        if not self._deaf:
            self.deadline = self.loop.time() + self.port.limits.header_timeout

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage != HEAD or len(self.headers) > MAX_HEADERS:  # trailers are nobody's
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._stage = BODY
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
            keep_alive = version == "1.1" and self.parser.should_keep_alive()
            self._on_request(Head(method, path, query, version, self.headers), given, keep_alive)

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
        self._stage = BETWEEN
        self.deadline = inf
        exchange = self.cycle
        if exchange is None:
            return
        exchange.more_body = False
        if exchange.complete:
            self._on_complete()
        else:
            exchange.wake()
