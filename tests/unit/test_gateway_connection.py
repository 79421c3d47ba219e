import tracemalloc
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import pytest
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway.connection import Connection
from iii_cluster.config.settings import Settings


class FakeListener:
    """What a connection tells its listener is of little interest here."""

    def __init__(self) -> None:
        self.label = "connection"
        self.settings = Settings()
        self.now = 0.0
        self.crowded = False
        self.handshakes = 0
        self.heard: list[bytes] = []

    def requested(self, connection: Connection) -> None:
        if not self.crowded:
            self.admit(connection)

    def admit(self, connection: Connection) -> None:
        if connection.accept():
            self.handshakes += 1
            connection.worker = cast(Any, "the worker")

    def on_text(self, _: Any, payload: bytes) -> None:
        self.heard.append(payload)

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


class Client:
    """The other end, without a socket."""

    def __init__(self) -> None:
        self.listener = FakeListener()
        self.connection = Connection(cast(Any, self.listener), self.listener.settings)
        self.transport = FakeTransport()
        self.connection.connection_made(cast(Any, self.transport))
        self.ws = ClientProtocol(parse_uri("ws://127.0.0.1/"))

    def ask(self) -> None:
        self.ws.send_request(self.ws.connect())
        self.send()

    def send(self) -> None:
        """Hand over what the client has to say."""
        self.connection.data_received(b"".join(self.ws.data_to_send()))

    def take(self) -> None:
        """Hear what the connection has to say."""
        self.connection.flush()
        self.ws.receive_data(self.transport.written)
        self.transport.written = b""


def _client() -> Client:
    client = Client()
    client.ask()
    client.take()
    assert client.ws.state is State.OPEN
    return client


def test_a_client_that_closes_leaves_by_its_own_wish() -> None:
    client = _client()
    client.ws.send_close(1000)
    client.send()
    assert not client.connection.lost
    assert not client.connection.in_order


def test_a_client_whose_socket_just_ends_is_lost() -> None:
    client = _client()
    client.connection.eof_received()
    assert client.connection.lost
    assert not client.connection.in_order


def test_a_client_that_is_sent_away_is_lost_and_heard_until_it_answers() -> None:
    client = _client()
    client.connection.close(1012, "service restart")
    client.connection.send(b"not any more")
    client.ws.send_text(b"before it heard of it")
    client.send()
    assert not client.connection.in_order
    client.take()
    client.send()
    assert client.connection.in_order
    assert client.listener.heard == [b"before it heard of it"]
    assert client.ws.close_rcvd is not None
    assert client.ws.close_rcvd.code == 1012
    assert client.connection.lost


def test_a_handshake_waits_for_its_turn() -> None:
    client = Client()
    client.listener.crowded = True
    client.ask()
    assert client.listener.handshakes == 0
    assert not client.transport.written
    client.listener.admit(client.connection)
    client.take()
    assert client.listener.handshakes == 1
    assert client.ws.state is State.OPEN


def test_a_handshake_that_waits_is_refused_when_the_gateway_drains() -> None:
    client = Client()
    client.listener.crowded = True
    client.ask()
    client.connection.reject(HTTPStatus.SERVICE_UNAVAILABLE, "Draining\n")
    client.take()
    assert client.ws.state is State.CONNECTING
    assert client.listener.handshakes == 0
    client.listener.admit(client.connection)
    assert client.listener.handshakes == 0


def test_answers_find_clients_that_say_who_they_were() -> None:
    client = _client()
    for version, found in (("0.23.0", True), ("0.22.1", True), ("0.21.9", False), ("1.0", True), ("", False)):
        client.connection.worker = cast(Any, SimpleNamespace(info={"version": version}))
        assert client.connection.reattaches is found
    client.listener.settings = Settings(reattach_window=0)
    assert not client.connection.reattaches


@pytest.mark.parametrize("target", ["//[", "//[/ws/channels/x", "http://[/"])
def test_an_address_that_is_none_is_answered(target: str) -> None:
    client = Client()
    client.connection.data_received(
        f"GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    if "channels" not in target:  # the listener looks for those
        client.connection.flush()
        assert client.transport.written.startswith(b"HTTP/1.1 404 ")
        assert client.listener.handshakes == 0


def test_fragments_take_little_more_than_their_bytes() -> None:
    client = _client()
    tracemalloc.start()
    try:
        client.ws.send_text(b"xy", fin=False)
        for n in range(50_000):
            client.ws.send_continuation(b"xy", fin=False)
            if n % 1000 == 0:
                client.send()
        client.send()
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()
    client.ws.send_continuation(b"z" * 2000, fin=False)
    client.ws.send_continuation(b"!", fin=True)
    client.send()
    assert client.listener.heard == [b"xy" * 50_001 + b"z" * 2000 + b"!"]
