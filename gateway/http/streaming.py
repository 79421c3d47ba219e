"""Responses that a function writes to its channel."""

import asyncio
import logging
from typing import Any

import msgspec

from gateway.channels.ends import ChannelClosed, ReaderEnd
from gateway.channels.pipe import BROKEN, OK

from .edge import Edge
from .response import Header, Response, headers_of

log = logging.getLogger(__name__)

COMPLETE = (OK, 1005)  # close codes of a whole stream: clients that close without a code mean that, too
# How long a stream goes on after its function has failed, seconds: its channel should end by itself.
AFTER_FAILURE = 1.0

_decode = msgspec.json.Decoder().decode


class Head:
    """Status and headers as the control messages leave them."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}

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
            texts = {name.lower(): value for name, value in said["headers"].items() if isinstance(value, str)}
            self.headers |= texts

    def response(self, owned: frozenset[bytes], body: bytes = b"") -> Response:
        """An interim status is no answer: 200 then."""
        headers: list[Header] = headers_of(self.headers, owned)
        return Response(self.status if self.status >= 200 else 200, headers, body)


class Streamed:
    """A response whose head is known, and whose body comes through `end`."""

    __slots__ = ("_edge", "_end", "_timer", "failed", "gone", "head")

    def __init__(self, edge: Edge, head: Response, end: ReaderEnd) -> None:
        """The body of `head` is the first piece."""
        self._edge = edge
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self.head = head
        self.gone = False
        self.failed = False

    async def pieces(self, send: Any) -> bool:
        """Send what follows the first piece; False when the stream was cut before its end."""
        self._edge.streaming += 1
        try:
            while True:
                try:
                    data, text = await self._end.receive()
                except ChannelClosed as closed:
                    return not self.gone and (self.failed or closed.code in COMPLETE)
                if not text and data:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        finally:
            self._edge.streaming -= 1
            if self._timer is not None:
                self._timer.cancel()

    def function_failed(self, *, lost: bool) -> None:
        """Its channel ends, or is ended. `lost`: it did not fail itself, its worker is gone, or the way there."""
        if self._timer is None:
            self.failed = not lost
            self._timer = self._edge.loop.call_later(AFTER_FAILURE, self._end.cut, "the function has failed")

    def client_gone(self) -> None:
        self.gone = True
        self._end.close(BROKEN, "the client is gone")
