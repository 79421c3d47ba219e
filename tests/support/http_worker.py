"""A worker behind the HTTP application without a port, whose every step is the test's."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from gateway.channels.ends import ChannelClosed, WriterEnd
from tests.support.http_app import NEVER, FakeCluster

BODY = b"0123456789"


def control(**said: Any) -> bytes:
    return json.dumps(said).encode()


class Worker:
    """A function whose calls are answered by the test, step by step."""

    def __init__(self, cluster: FakeCluster, path: str = "a", method: str = "GET") -> None:
        self.cluster = cluster
        self.requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        cluster.route(path, self._called, method)

    def _called(self, request: dict[str, Any]) -> Any:
        self.requests.put_nowait(request)
        return NEVER

    async def called(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.requests.get(), 5)

    async def opened(self) -> WriterEnd:
        return self.cluster.writer(await self.called())

    def returns(self, value: Any = None, error: bytes = b"") -> None:
        done = self.cluster.calls[-1].done
        assert done is not None
        done(b"" if error else json.dumps(value).encode(), error)


async def read_to_end(read: Callable[[], Any]) -> tuple[list[bytes], int]:
    """The messages, and the code of the end."""
    messages = []
    try:
        while True:
            messages.append((await read())[0])
    except ChannelClosed as closed:
        return messages, closed.code
