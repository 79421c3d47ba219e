"""Bodies of requests, on their way into a channel."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.channels.channel import Channel
from gateway.channels.ends import ChannelClosed, WriterEnd
from gateway.channels.pipe import BROKEN

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

PIECE = 64 * 2**10  # bytes of one message; clients read no larger ones than 1 MiB
WHOLE = 2**20  # bytes of a JSON body up to which it is one message


class TooLarge(Exception):
    """The body exceeds its limit."""


async def read_all(receive: Receive, limit: int) -> bytes | None:
    """The whole body; None when the client is gone. Raises TooLarge."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body = message.get("body", b"")
        size += len(body)
        if size > limit:
            raise TooLarge
        parts.append(body)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


class Upload:
    """Pumps what the client sends into the channel, no faster than that takes it; then waits for the client to go."""

    __slots__ = ("_body", "_channel", "_gone", "_limit", "_more", "_receive", "_task", "_too_large", "_writer")

    def __init__(
        self, receive: Receive, body: bytes | None, limit: int, too_large: Callable[[], None], gone: Callable[[], None]
    ) -> None:
        """`body`: the whole of it if it was read before. `limit`: 0 for none."""
        self._receive = receive
        self._body = body
        self._limit = limit
        self._too_large = too_large
        self._gone = gone
        self._more = body is None
        self._task: asyncio.Task[None] | None = None
        self._writer: WriterEnd | None = None

    def begin(self, channel: Channel) -> None:
        """Somebody reads the channel."""
        if self._writer is None:
            self.stop()
            self._writer = channel.attach_writer()
            self._task = asyncio.get_running_loop().create_task(self._pump(self._writer))

    def watch(self, *, empty: bool) -> None:
        """Tell when the client goes, as far as that can be seen: not while a body waits for somebody to read it."""
        if self._task is None and (empty or not self._more):
            self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Who reads a body that is not complete by now is told so."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        if self._writer is not None:
            self._writer.close(BROKEN, "the body is not complete")

    async def _pump(self, writer: WriterEnd) -> None:
        try:
            if self._body is not None:
                size = PIECE if len(self._body) > WHOLE else WHOLE
                for at in range(0, len(self._body), size):
                    await writer.send(self._body[at : at + size], False)
            elif not await self._forward(writer.send):
                writer.close(BROKEN, "the body is not complete")
                return
        except ChannelClosed:
            return  # nobody reads it any more; the rest stays where it is
        writer.close()
        await self._watch()

    async def _forward(self, send: Callable[[bytes, bool], Awaitable[None]]) -> bool:
        """False when the body ends before its end."""
        total = 0
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._gone()
                return False
            body = message.get("body", b"")
            total += len(body)
            if self._limit and total > self._limit:
                self._too_large()
                return False
            for at in range(0, len(body), PIECE):
                await send(body[at : at + PIECE], False)
            self._more = message.get("more_body", False)
        return True

    async def _watch(self) -> None:
        while (message := await self._receive())["type"] != "http.disconnect":
            self._body = (self._body or b"") + message.get("body", b"")  # for whoever reads it later
            self._more = message.get("more_body", False)
        self._gone()
