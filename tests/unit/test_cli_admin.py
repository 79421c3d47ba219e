"""How commands ask admin ports: whom they show a token, whom they trust, where they look for nodes."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from iii_cluster.access.certificates import TlsError, server_context
from iii_cluster.access.trust import Secured, Trust, own
from iii_cluster.cli.admin import Way, ask_admin
from iii_cluster.cli.gateway import Unreachable
from iii_cluster.cli.main import main
from iii_cluster.cli.nodes import Admins
from iii_cluster.cli.own import ask_own
from iii_cluster.config.settings import Settings, Tls
from iii_cluster.node.admin import CHALLENGE
from tests.support.admin_ports import node
from tests.support.certificates import HOST, Certificates

TOKEN = "correct-horse-battery"


class Port:
    """Answers 401 with a challenge until it is shown something, and remembers what it was shown."""

    def __init__(self, challenge: str) -> None:
        self.challenge = challenge
        self.shown: list[str | None] = []
        self.nodes: list[dict[str, Any]] = []
        self.number = 0


@contextmanager
def listening(port: Port, context: ssl.SSLContext | None = None) -> Iterator[Port]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            port.shown.append(self.headers["Authorization"])
            known = not port.challenge or port.shown[-1] is not None
            self.send_response(200 if known else 401)
            if not known:
                self.send_header("WWW-Authenticate", port.challenge)
            self.end_headers()
            page = {"node": "a", "nodes": port.nodes} if known else {"error": "no"}
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port.number = int(server.server_address[1])
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("challenge", "shown"),
    [
        (CHALLENGE[1].decode(), [None, f"Bearer {TOKEN}"]),
        ('Bearer realm="somebody else"', [None]),
        ("Basic", [None]),
        ("", [None]),
    ],
)
def test_a_token_is_shown_to_those_who_ask_for_it_as_admin_ports_do(challenge: str, shown: list[str | None]) -> None:
    with listening(Port(challenge)) as port:
        ask_admin(f"http://{HOST}:{port.number}", "/cluster", way=Way(token=TOKEN))
    assert port.shown == shown


@pytest.mark.parametrize(("ready", "shown"), [(True, [f"Bearer {TOKEN}"]), (False, [None, f"Bearer {TOKEN}"])])
def test_a_process_of_ones_own_that_is_ready_is_shown_the_token_unasked(ready: bool, shown: list[str | None]) -> None:
    settings = Settings(admin_host="0.0.0.0", tokens=(TOKEN,))
    with listening(Port(CHALLENGE[1].decode())) as port:
        assert ask_own(settings, port.number, "/cluster", ready=ready)[0] == 200
    assert port.shown == shown


def test_ports_of_ones_own_are_trusted_by_their_very_certificate(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, hosts=("somewhere.example.org",))
    tls = Tls(str(certificates.cert_file), str(certificates.key_file))
    mine = own(tls)
    with listening(Port(""), server_context(tls)) as port:
        assert ask_admin(f"https://{HOST}:{port.number}", "/x", way=Way(mine))[0] == 200
    certificates.issue()
    with listening(Port(""), server_context(tls)) as port:
        with pytest.raises(Unreachable, match="is not trusted"):
            ask_admin(f"https://{HOST}:{port.number}", "/x", way=Way(mine))
        assert ask_admin(f"https://{HOST}:{port.number}", "/x", way=Way(own(tls)))[0] == 200


@pytest.mark.parametrize("content", ["", "garbage", "-----BEGIN CERTIFICATE-----", None])
def test_a_certificate_that_vanished_or_broke_is_told(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "own.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(TlsError, match=r"own\.pem"):
        own(Tls(str(file)))


def test_a_name_of_its_own_is_what_a_certificate_must_be_for(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, hosts=("somewhere.example.org",))
    tls = Tls(str(certificates.cert_file), str(certificates.key_file))
    with listening(Port(""), server_context(tls)) as port:
        url = f"https://{HOST}:{port.number}"
        for name, trusted in (("somewhere.example.org", True), ("elsewhere.example.org", False), ("", False)):
            way = Way(Secured(certificates.client(), name))
            if trusted:
                assert ask_admin(url, "/x", way=way)[0] == 200
            else:
                with pytest.raises(Unreachable, match="is for another name"):
                    ask_admin(url, "/x", way=way)


@pytest.mark.parametrize(
    ("admin", "tls", "url"),
    [
        ("5", False, "http://127.0.0.1:5"),
        ("5", True, "https://127.0.0.1:5"),
        ("h:5", True, "https://h:5"),
        ("http://h:5", True, "http://h:5"),
        ("https://h:5", False, "https://h:5"),
    ],
)
def test_an_admin_port_is_named_in_several_ways(admin: str, tls: bool, url: str) -> None:
    assert Admins(admin, Trust(tls)).admin == url


@pytest.mark.parametrize("command", [["status"], ["drain", "gateway-1"]])
@pytest.mark.parametrize("options", [["--tls"], ["--ca-file", "ca.pem"], ["--client-cert", "a", "--server-name", "b"]])
def test_options_of_tls_contradict_an_address_without(command: list[str], options: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--admin", "http://127.0.0.1:1", *options])
    assert result.exit_code == 2
    assert f"{options[0]} has no effect with http:// in --admin; write https:// or the address alone" in result.stderr


def test_what_the_environment_says_of_tls_is_taken_back_by_the_address() -> None:
    env = {"III_CLUSTER_ADMIN_TLS": "1", "III_CLUSTER_CA_FILE": "ca.pem"}
    result = CliRunner().invoke(main, ["status", "--admin", "http://127.0.0.1:1"], env=env)
    assert (result.exit_code, "no admin port answers at http://127.0.0.1:1" in result.stderr) == (1, True)


@pytest.mark.parametrize("admin", ["http://", "ftp://h:1", "http://h:port", "h:99999"])
def test_what_names_no_admin_port_is_told(admin: str) -> None:
    with pytest.raises(Unreachable, match="no admin port answers at"):
        Admins(admin, Trust()).find()


def test_other_nodes_of_this_machine_are_asked_where_the_first_one_was_and_as_they_tell() -> None:
    with listening(Port("")) as port:
        port.nodes = [node("a", "shard", port.number)]
        admins = Admins(f"localhost:{port.number}", Trust())
        admins.find()
    assert admins.of(node("b", "shard", 7)) == "http://localhost:7"
    assert admins.of(node("b", "shard", 7) | {"tls": ["admin"]}) == "https://localhost:7"
    assert admins.of(node("b", "shard", 7) | {"tls": ["worker"]}) == "http://localhost:7"
    assert admins.of(node("b", "shard", 7, host="another-machine")) is None


@pytest.mark.parametrize(("host", "asked"), [(socket.gethostname(), "0.0.0.0"), ("another-machine", "127.0.0.1")])
def test_an_address_is_only_this_machines_if_the_node_there_is(host: str, asked: str) -> None:
    with listening(Port("")) as port:
        port.nodes = [node("a", "shard", port.number, host=host)]
        admins = Admins(f"0.0.0.0:{port.number}", Trust())
        admins.find()
    assert admins.of(node("b", "shard", 7)) == f"http://{asked}:7"
