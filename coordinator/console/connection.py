"""Connections of the console's port: uvicorn's, with limits that it has none of."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 256
MAX_HEAD = 32 * 2**10  # bytes of a request line and its headers
HEAD_TIMEOUT = 10.0  # s from the connection, or the end of the request before, to the end of a head

MAX_AFTER_HEAD = 2 * 2**20  # bytes: of a body, which may be refused while it comes, of its chunks and trailers
STALL_TIMEOUT = 10.0  # s without reading any of an answer
MAX_UNREAD = 64 * 2**20  # bytes of answers, of all connections together


class ConsoleConnection(HttpToolsProtocol):
    """Cut when there are too many of them, a request's head is too long or too slow, or its answer is not read."""

    _head = 0  # bytes of the head that is being read
    _after = 0  # and of what has come since then
    _unread = 0  # bytes of answers, a while ago
    _reading_head = True
    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._deadline = self.loop.call_later(HEAD_TIMEOUT, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if sum(one.transport.get_write_buffer_size() for one in self.connections) > MAX_UNREAD:
            self.transport.abort()
        else:
            self._watch_reader()

    def _watch_reader(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(STALL_TIMEOUT, self._see_reader)

    def _see_reader(self) -> None:
        if self.transport.get_write_buffer_size() < self._unread:
            self._watch_reader()
        else:
            self.transport.abort()

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._reading_head:
            self._head += len(data)
            if self._head > MAX_HEAD and data.find(b"\r\n\r\n") < 0:
                self.transport.abort()
                return
            if self._deadline is None:
                self._deadline = self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)
        else:
            self._after += len(data)
            if self._after > MAX_AFTER_HEAD:
                self.transport.abort()
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._reading_head = False
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._reading_head = True
        self._head = self._after = 0
        super().on_message_complete()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
