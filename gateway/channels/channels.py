"""Channels of one gateway: the engine's function that makes them, and what they are for everybody else here."""

import asyncio
from typing import Any

from msgspec import Struct

from gateway.builtins.arguments import parse
from gateway.call import Call, Done
from gateway.core import GatewayCore
from iii_cluster.protocol.errors import EngineError

from .channel import Channel
from .home import DEFAULT_BUFFER, Home

CREATE = "engine::channels::create"


class _Create(Struct):
    buffer_size: int | None = None


class Channels:
    """`create` makes one; its refs are for whoever shall connect, its ends for this process."""

    def __init__(self, core: GatewayCore) -> None:
        self._core = core
        self._loop = asyncio.get_running_loop()
        self.home = Home(core.ids)
        self.home.expire(self._loop.time())
        core.builtins[CREATE] = self._create

    def create(self, buffer: int = DEFAULT_BUFFER) -> Channel:
        """A channel that holds `buffer` messages. Raises EngineError when there are too many."""
        return self.home.create(buffer, "")

    def discard(self, channel: Channel) -> None:
        """Nobody new may come, and ends in this process are closed; sockets that have come go on until they end."""
        self.home.discard(channel)

    def _create(self, call: Call, done: Done) -> None:
        try:
            asked = parse(CREATE, call.data, _Create)
            buffer = asked.buffer_size if asked.buffer_size is not None else DEFAULT_BUFFER
            channel = self.home.create(buffer, call.caller.id if call.caller is not None else "")
        except EngineError as error:
            done(b"", error.body())
            return
        done(b'{"writer":%b,"reader":%b}' % (channel.writer_ref, channel.reader_ref), b"")

    def tick(self, now: float) -> None:
        """Once a second."""
        self.home.expire(now)

    def describe(self) -> dict[str, Any]:
        return {"channels": len(self.home)}
