"""One HTTP connection: uvicorn's protocol, with limits, deadlines and an end in good order.

uvicorn has the parser and the flow control. What is different here: deadlines are looked at once a second instead of a
timer each; requests are counted; the answer to what cannot be served comes after those before it; and a connection
whose client still sends is closed so that the client can read the answer.
"""

import asyncio
from math import inf
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.server import ServerState

from .exchange import Exchange, ExchangePort, Head
from .incoming import BETWEEN, BODY, HEAD, MAX_PIPELINE, Incoming, IncomingPort
from .request_id import RequestIds


class HttpPort(ExchangePort, IncomingPort, Protocol):
    """The port of a connection, as the connection sees it."""

    ids: RequestIds

    def opened(self, connection: Any) -> bool:
        """False: one too many, refuse it."""

    def begin(self, exchange: Exchange) -> bool:
        """True: `serve` it as soon as its chunk is parsed. False: that comes by itself, or it is answered: there are
        too many."""

    def serve(self, exchange: Exchange) -> None: ...

    def refusal(self, connection: Any, status: int, message: str) -> bytes:
        """A whole response that closes the connection."""


class HttpConnection(Incoming):
    """From accept to close."""

    __slots__ = ("_eof", "_fresh", "_last_words", "leaving", "parting", "running")

    port: HttpPort

    def __init__(self, port: HttpPort, config: Config, state: ServerState) -> None:
        super().__init__(port, config, state)
        self.running: Exchange | None = None
        self._fresh: Exchange | None = None  # is served once all that was read is parsed: mostly that is all of it
        self.leaving = False  # the next response is the last one
        self.parting = False  # without a request it is closed
        self._eof = False  # the client says nothing more, but it may be waiting for answers
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

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._serve_fresh()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has asked and closed only its side gets its answers, if they come soon: it looks like one
        that is gone. Others are gone."""
        self._eof = True
        waiting = self.running is not None and not self.running.status
        if self.closing or self._stage != BETWEEN or not waiting or self.scheme == "https":
            self._close()
            return False
        self.deadline = self.loop.time() + self.port.stall_timeout
        return True

    # -- one request after the other ---------------------------------------------------------------

    def _on_request(self, head: Head, given_id: bytes | None, keep_alive: bool) -> None:
        exchange = Exchange(self, head, self.port.ids.of(given_id), keep_alive)
        self.cycle = exchange
        if self.running is None and not self.pipeline:
            self._begin(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.append(exchange)

    def _begin(self, exchange: Exchange) -> None:
        self.running = exchange
        if self.port.begin(exchange):
            self._fresh = exchange

    def _serve_fresh(self) -> None:
        exchange, self._fresh = self._fresh, None
        if exchange is not None:
            self.port.serve(exchange)

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
        elif self._stage == BETWEEN:
            self._rest()
        else:
            self._read_on()

    def _proceed(self) -> None:
        """Serve what waits, and parse what was read meanwhile: perhaps the rest of a body."""
        if self.closing:
            return
        if self.running is None and self.pipeline:
            self._begin(self.pipeline.popleft())
        if self._held and len(self.pipeline) < MAX_PIPELINE:
            held, self._held = self._held, b""
            self._feed_slices(held)
        self._serve_fresh()
        if self.closing or self.pipeline or self._held:
            return
        if self.running is None and self._stage == BETWEEN:
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

    def _on_complete(self) -> None:
        if self.running is None and not self.pipeline:
            self._rest()

    def _read_on(self) -> None:
        """The response is complete, but its request is not, or the head of the next one."""
        if self._stage == BODY:
            self._fed = 0
            self.deadline = self.loop.time() + self.port.limits.body_timeout
        self.flow.resume_reading()

    # -- the end -----------------------------------------------------------------------------------

    def part(self) -> None:
        """Serve what is under way, then close."""
        self.leaving = self.parting = True
        if self.running is None and not self.pipeline and self._stage == BETWEEN:
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
        self.write(self._last_words)
        self._close()

    def _close(self) -> None:
        if self.closing:
            return
        sending = not self._eof and bool(self._stage != BETWEEN or self._last_words or self._held or self.pipeline)
        self._deaf = True
        self._leave_exchanges()
        self.finish(sending=sending)

    # -- time --------------------------------------------------------------------------------------

    def overdue(self, now: float) -> None:
        """The deadline has passed."""
        if self.closing:
            self.still_open(now)
        elif self._stage == HEAD:
            self._refuse(408, "The headers did not arrive in time")
        elif self._eof and self.running is not None and self.running.status:
            self.deadline = inf  # somebody takes it: who is gone resets the connection
        elif self._stage == BODY and self.running is not None:
            self._refuse(408, "The body did not arrive in time")
        else:
            self._close()
