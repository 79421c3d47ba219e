"""What is written to an HTTP client, and when."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from uvicorn.server import ServerState

from gateway.http.outgoing import Outgoing
from iii_cluster.node.asgi import asgi_config


class Transport:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        self.said.append(b"".join(parts))

    def close(self) -> None:
        self.said.append(b"(closed)")

    def abort(self) -> None:
        self.said.append(b"(aborted)")

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _name: str) -> "Transport":
        return self

    def fileno(self) -> int:
        raise OSError


class Port:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stall_timeout = 10.0
        self.crowded = True
        self.connections: list[Outgoing] = []

    def writing(self, connection: Outgoing) -> None:
        self.connections.append(connection)

    def end_of_turn(self) -> None:
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.flush()

    def congested(self, _connection: Outgoing, _on: bool) -> None: ...

    def closed(self, _connection: Outgoing) -> None: ...


def _no_application(*_: Any) -> None: ...


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    yield port
    port.loop.close()


@pytest.fixture
def connection(port: Port) -> Outgoing:
    connection = Outgoing(port, asgi_config(_no_application), ServerState())
    connection.transport = Transport()  # type: ignore[assignment]
    return connection


def said(connection: Outgoing) -> list[bytes]:
    return connection.transport.said  # type: ignore[attr-defined, no-any-return]


def test_an_answer_goes_at_the_end_of_the_turn_when_others_are_served_too(port: Port, connection: Outgoing) -> None:
    connection.write_soon(b"a")
    connection.write_soon(b"b")
    assert said(connection) == []
    port.end_of_turn()
    port.end_of_turn()
    assert said(connection) == [b"ab"]


def test_an_answer_to_the_only_client_goes_at_once(port: Port, connection: Outgoing) -> None:
    port.crowded = False
    connection.write_soon(b"a")
    assert said(connection) == [b"a"]
    assert port.connections == []


def test_what_follows_an_answer_never_overtakes_it(port: Port, connection: Outgoing) -> None:
    connection.write_soon(b"a")
    connection.write(b"b", b"", b"c")
    connection.write_soon(b"d")
    port.crowded = False
    connection.write_soon(b"e")
    port.end_of_turn()
    assert said(connection) == [b"a", b"bc", b"de"]


@pytest.mark.parametrize("end", ["finish", "abort"])
def test_an_answer_goes_before_the_end_of_its_connection(connection: Outgoing, end: str) -> None:
    connection.write_soon(b"a")
    if end == "finish":
        connection.finish(sending=False)
    else:
        connection.abort()
    assert said(connection)[0] == b"a"
    assert len(said(connection)) == 2


def test_nothing_is_written_to_a_connection_that_is_lost(port: Port, connection: Outgoing) -> None:
    connection.write_soon(b"a")
    connection.connection_lost(None)
    port.end_of_turn()
    assert said(connection) == []
