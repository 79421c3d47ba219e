from typing import Any, cast

from websockets.protocol import State

from gateway.connection import Connection
from iii_cluster.config.settings import Settings


class FakeListener:
    """What a connection tells its listener is of no interest here."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.now = 0.0

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class FakeTransport:
    def __init__(self) -> None:
        self.size = 0
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data
        self.size += len(data)

    def get_write_buffer_size(self) -> int:
        return self.size

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def _congested() -> tuple[Connection, FakeTransport]:
    listener = FakeListener()
    connection = Connection(cast(Any, listener), listener.settings)
    transport = FakeTransport()
    connection.connection_made(cast(Any, transport))
    connection._ws.state = State.OPEN
    connection.send(b"x" * 2_000_000)
    connection.flush()
    connection.pause_writing()
    return connection, transport


def test_a_peer_that_reads_nothing_is_stalled() -> None:
    connection, _ = _congested()
    assert not connection.stalled(9.0, 10.0)
    assert connection.stalled(11.0, 10.0)


def test_a_trickle_is_no_progress() -> None:
    connection, transport = _congested()
    for second in range(11):
        transport.size -= 1
        assert not connection.stalled(float(second), 10.0)
    assert connection.stalled(11.0, 10.0)


def test_a_peer_that_reads_is_waited_for_even_while_its_queue_grows() -> None:
    connection, transport = _congested()
    for second in range(0, 60, 5):
        connection.send(b"y" * 300_000)
        connection.flush()
        transport.size -= 200_000
        assert not connection.stalled(float(second), 10.0)


def test_a_large_message_is_sent_in_frames_every_client_accepts() -> None:
    connection, transport = _congested()
    transport.written = b""
    connection.send(b"z" * (17 * 2**20))
    connection.flush()
    first, final = transport.written[0], transport.written[-(2**20) - 10]
    assert first == 0x01  # text, more to come
    assert final == 0x80  # continuation, the last
    assert len(transport.written) == 17 * 2**20 + 3 * 10
