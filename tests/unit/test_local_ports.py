import socket
from collections.abc import Iterator

import pytest

from iii_cluster.local.ports import PortError, PortTaken, SharedPort, check_free, check_shareable, free_port, spare_port
from tests.support.ports import release_port, reserve_port

HOST = "127.0.0.1"


@pytest.fixture
def port() -> Iterator[int]:
    port = reserve_port()
    yield port
    release_port(port)


def listener(port: int) -> socket.socket:
    """As a gateway listens: with the port shared."""
    result = socket.socket()
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    result.bind((HOST, port))
    result.listen()
    return result


def test_a_free_port_passes_the_check_and_stays_free(port: int) -> None:
    check_free(HOST, port, "--worker-port")
    with listener(port):
        pass


def test_a_taken_port_is_named_with_the_flag_that_changes_it(port: int) -> None:
    with listener(port), pytest.raises(PortError, match=rf"port {port} is already in use; choose .* --worker-port"):
        check_free(HOST, port, "--worker-port")


def test_a_strangers_listener_is_noticed_although_it_shares_its_port(port: int) -> None:
    with listener(port), pytest.raises(PortError, match="already in use"):
        SharedPort(HOST, port, "--worker-port")


def test_a_port_may_be_joined_only_where_it_is_shared(port: int) -> None:
    with listener(port):
        check_shareable(HOST, port, "--worker-port")
    with socket.create_server((HOST, port)), pytest.raises(PortError, match="already in use"):
        check_shareable(HOST, port, "--worker-port")


def test_an_address_of_another_machine_is_refused_in_one_line(port: int) -> None:
    with pytest.raises(PortError, match=r"cannot listen on 192\.0\.2\.1 port \d+ \(--worker-port\)"):
        check_free("192.0.2.1", port, "--worker-port")


def test_ports_end_somewhere() -> None:
    with pytest.raises(PortError, match="there is no port 65536; choose a lower one with --admin-port"):
        check_free(HOST, 65536, "--admin-port")


def test_a_spare_port_is_the_lowest_that_is_neither_used_nor_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(host: str, port: int, flag: str) -> None:
        if port == 4003:
            raise PortTaken(f"port {port} is already in use")

    monkeypatch.setattr("iii_cluster.local.ports.check_free", check)
    assert spare_port(HOST, 4000, {4000, 4001, 4002}, "--admin-port") == 4004
    assert spare_port(HOST, 4000, {4000, 4002, 4004}, "--admin-port") == 4001


def test_spare_ports_end_somewhere() -> None:
    with pytest.raises(PortError, match="there is no port 65536"):
        spare_port(HOST, 65535, {65535}, "--admin-port")


def test_several_listeners_share_a_held_port_and_get_all_connections(port: int) -> None:
    shared = SharedPort(HOST, port, "--worker-port")
    try:
        with listener(port) as first, listener(port) as second:
            clients = [socket.create_connection((HOST, port), timeout=5) for _ in range(8)]
            accepted = []
            for server in (first, second):
                server.setblocking(False)
                while True:
                    try:
                        accepted.append(server.accept()[0])
                    except BlockingIOError:
                        break
            assert len(accepted) == len(clients)
            for connection in (*clients, *accepted):
                connection.close()
    finally:
        shared.close()


def test_port_zero_becomes_one_port_for_all() -> None:
    shared = SharedPort(HOST, 0, "--worker-port")
    try:
        with listener(shared.port):
            pass
    finally:
        shared.close()


def test_a_free_port_can_be_listened_on() -> None:
    with listener(free_port(HOST)):
        pass
