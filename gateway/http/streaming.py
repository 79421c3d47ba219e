"""Responses that a function writes to its channel."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.channels.ends import ChannelClosed, ReaderEnd
from gateway.channels.pipe import BROKEN, OK

from . import errors
from .edge import Edge
from .response import Header, Response, headers_of, texts

# How long a stream goes on after its function has failed, seconds: its channel should end by itself.
AFTER_FAILURE = 1.0

_decode = msgspec.json.Decoder().decode


def whole(code: int) -> bool:
    """Whether a channel that was closed with this code was ended by its writer: with 1000, none, or one of its own."""
    return code in (OK, 1005) or 3000 <= code <= 4999


class Head:
    """Status and headers as the control messages leave them."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, list[str]] = {}

    def control(self, message: bytes) -> None:
        """Text of the channel before the first binary message; what is not understood is ignored."""
        try:
            said: Any = _decode(message)
        except (msgspec.MsgspecError, RecursionError):
            return
        kind = said.get("type") if isinstance(said, dict) else None
        if kind == "set_status":
            status = said.get("status_code")
            if type(status) is int and 100 <= status <= 599:
                self.status = status
        elif kind == "set_headers" and isinstance(said.get("headers"), dict):
            self.headers |= {
                name.lower(): found for name, value in said["headers"].items() if (found := texts(name, value))
            }

    def response(self, owned: frozenset[bytes], body: bytes = b"") -> Response:
        """An interim status is no answer: 200 then."""
        headers: list[Header] = headers_of(self.headers, owned)
        return Response(self.status if self.status >= 200 else 200, headers, body)


class Streamed:
    """A response whose head is known, and whose body comes through `end`."""

    __slots__ = ("_edge", "_end", "_error", "_function", "_timer", "complete", "gone", "head")

    def __init__(self, edge: Edge, function: str, head: Response, end: ReaderEnd) -> None:
        """The body of `head` is the first piece."""
        self._edge = edge
        self._function = function
        self._error = b""  # the function has failed
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self.head = head
        self.gone = False
        self.complete = False

    async def pieces(self, send: Any) -> bool:
        """Send what follows the first piece; False when the stream was cut before its end."""
        self._edge.streaming += 1
        try:
            while True:
                try:
                    data, text = await self._end.receive()
                except ChannelClosed as closed:
                    return self._ended(closed)
                if not text and data:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        finally:
            self._edge.streaming -= 1
            if self._timer is not None:
                self._timer.cancel()

    def _ended(self, closed: ChannelClosed) -> bool:
        """The channel alone tells whether the response is complete: functions that lose it fail because of that."""
        self.complete = not self.gone and whole(closed.code)
        if self.gone:
            return False
        if self._error:
            errors.stream_failed(self._error, self._function, complete=self.complete)
        elif not self.complete:
            errors.stream_cut(closed.code, closed.reason, self._function)
        return self.complete

    def function_failed(self, error: bytes) -> None:
        """Its channel ends by itself, or is cut."""
        if self.complete:
            errors.stream_failed(error, self._function, complete=True)
        elif self._timer is None:
            self._error = error
            self._timer = self._edge.loop.call_later(AFTER_FAILURE, self._end.cut, "the function has failed")

    def client_gone(self) -> None:
        self.gone = True
        self._end.close(BROKEN, "the client is gone")


def late(function: str) -> Callable[[bytes, bytes], None]:
    """For the end of a call whose response is complete."""

    def done(_result: bytes, error: bytes) -> None:
        if error:
            errors.stream_failed(error, function, complete=True)

    return done
