"""Compressed messages that come together with the end of their connection, as TLS hands them over."""

import asyncio
import zlib
from typing import Any, cast

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import State

from gateway.connection import Connection
from iii_cluster.config.settings import Settings

MESSAGES = 40
SIZE = 2**20  # bytes of each, inflated


class Listener:
    label = "connection"
    now = 0.0

    def __init__(self) -> None:
        self.settings = Settings(compression="all")
        self.heard = 0
        self.gone = asyncio.Event()

    def on_text(self, _worker: Any, payload: bytes) -> None:
        self.heard += payload == bytes(SIZE)

    def closed(self, _connection: Connection) -> None:
        self.gone.set()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Transport:
    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def connected() -> tuple[Connection, Listener]:
    listener = Listener()
    connection = Connection(cast(Any, listener), listener.settings)
    connection.connection_made(cast(Any, Transport()))
    connection._ws.extensions = [PerMessageDeflate(True, True, 12, 12)]
    connection._ws.state = State.OPEN
    connection._ws.parser = connection._ws.parse()
    next(connection._ws.parser)
    connection.worker = cast(Any, "the worker")
    return connection, listener


def message() -> bytes:
    """As a client sends it, masked with zeros."""
    encoder = zlib.compressobj(9, wbits=-12)
    data = (encoder.compress(bytes(SIZE)) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert 126 <= len(data) < 65536
    return b"\xc1\xfe" + len(data).to_bytes(2) + bytes(4) + data


async def test_others_have_their_turn_before_all_is_taken_and_nothing_is_lost() -> None:
    connection, listener = connected()
    connection.data_received(message() * MESSAGES)
    connection.eof_received()
    connection.connection_lost(None)
    assert listener.heard < MESSAGES / 2
    assert not listener.gone.is_set()
    async with asyncio.timeout(10):
        await listener.gone.wait()
    assert listener.heard == MESSAGES


async def test_what_a_broken_connection_left_is_not_taken() -> None:
    connection, listener = connected()
    connection.data_received(message() * MESSAGES)
    connection.connection_lost(ConnectionResetError())
    assert listener.gone.is_set()
    await asyncio.sleep(0)
    assert listener.heard < MESSAGES / 2


async def test_who_does_not_read_is_not_waited_for() -> None:
    connection, listener = connected()
    connection.data_received(message() * MESSAGES)
    connection.pause_writing()
    connection.eof_received()
    connection.connection_lost(None)
    assert listener.gone.is_set()
