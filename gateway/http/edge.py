"""What all requests of a gateway share."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.call import Call
from gateway.channels.channel import Channel
from iii_cluster.modules.http.config import HttpConfig
from iii_cluster.telemetry.context import Trace
from iii_cluster.telemetry.tracing import Tracer

from .cors import CorsPolicy
from .deadlines import Deadlines

PREHANDLER = "preHandler"


class Channels(Protocol):
    def create(self) -> Channel:
        """Raises EngineError when there are too many."""

    def discard(self, channel: Channel) -> None: ...


class Edge:
    """Settings as requests need them, and ways into the cluster."""

    __slots__ = (
        "body_limit",
        "channels",
        "cors",
        "deadlines",
        "loop",
        "middleware",
        "query_lists",
        "start",
        "streaming",
        "tracer",
        "upload_limit",
    )

    def __init__(self, config: HttpConfig, start: Callable[[Call], None], channels: Channels, tracer: Tracer) -> None:
        """`start` calls a function; nothing it gets is ever waited for without a limit."""
        self.loop = asyncio.get_running_loop()
        self.start = start
        self.channels = channels
        self.tracer = tracer
        self.cors = CorsPolicy(config.cors)
        self.deadlines = Deadlines(self.loop, config.default_timeout / 1000)  # of the heads of responses
        self.body_limit = config.body_limit
        self.upload_limit = config.upload_limit
        self.query_lists = config.query_lists
        asked = [one for one in config.middleware if one.phase == PREHANDLER]
        self.middleware = tuple(one.function_id for one in sorted(asked, key=lambda one: one.priority))
        self.streaming = 0  # responses under way through channels

    async def ask(self, namespace: str, function: str, data: bytes, trace: Trace) -> tuple[bytes, bytes]:
        """Result and error of a function."""
        ended: asyncio.Future[tuple[bytes, bytes]] = self.loop.create_future()

        def done(result: bytes, error: bytes) -> None:
            if not ended.done():
                ended.set_result((result, error))

        self.start(Call(None, b"", namespace, function, data, trace, done=done))
        return await ended
