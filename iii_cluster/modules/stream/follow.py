"""What those who serve clients need of streams: channels of groups, their messages, and snapshots."""

import asyncio
import time

import msgspec
from msgspec import Struct

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Commands

from . import names
from .adapter import Snapshot, StreamAdapter, too_large
from .provided import Provided

_encode = msgspec.json.Encoder().encode


class _Event(Struct):
    type: str


class Message(Struct):
    """The part of a published message that says whom it concerns."""

    timestamp: int  # ms
    id: str | None
    event: _Event

    @property
    def custom(self) -> bool:
        """Sent, not stored."""
        return self.event.type == "event"

    @property
    def large(self) -> bool:
        """Without the data, which is to be read: a change."""
        return self.event.type == "large"


decode = msgspec.json.Decoder(Message).decode


class Following:
    def __init__(self, engine: Engine, commands: Commands, adapter: StreamAdapter, provided: Provided) -> None:
        self._engine = engine
        self._commands = commands
        self._adapter = adapter
        self._provided = provided

    @property
    def server(self) -> str:
        """URL of the Redis server that carries the channels."""
        return self._adapter.server or self._engine.settings.redis_urls[0]

    @property
    def probe(self) -> bytes:
        """This gateway's own channel."""
        return names.probe(self._engine.prefix, self._engine.node).encode()

    def channel(self, stream: str, group: str) -> bytes:
        return names.channel(self._engine.prefix, stream, group).encode()

    def publish(self, channel: bytes) -> "asyncio.Future[int]":
        """An empty message; tells how many heard it."""
        return asyncio.ensure_future(self._commands.execute(b"PUBLISH", channel, b"", again=True))

    async def snapshot(self, stream: str, group: str, item: str | None, after: int) -> Snapshot:
        """Raises EngineError when a provider fails, and what the adapter raises."""
        provided = await self._provided.snapshot(stream, group, item, after)
        snapshot = provided or await self._adapter.snapshot(stream, group, item, after)
        limit = self._engine.settings.max_message_bytes
        if len(snapshot.data) > limit:
            raise too_large(limit)
        return snapshot


def sync(stream: str, group: str, item: str | None, snapshot: Snapshot) -> bytes:
    """The message with which a subscription begins."""
    return _message(stream, group, item, snapshot.timestamp, b'{"type":"sync","data":%b}' % snapshot.data)


def unauthorized(stream: str, group: str, item: str | None) -> bytes:
    return _message(stream, group, item, time.time_ns() // 1_000_000, b'{"type":"unauthorized"}')


def _message(stream: str, group: str, item: str | None, timestamp: int, event: bytes) -> bytes:
    return b'{"type":"stream","timestamp":%d,"streamName":%b,"groupId":%b,"id":%b,"event":%b}' % (
        timestamp,
        _encode(stream),
        _encode(group),
        _encode(item),
        event,
    )
