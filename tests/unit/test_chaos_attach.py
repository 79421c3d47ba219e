"""What keeps `iii-cluster chaos --attach` out is told at once."""

import os
from http import HTTPStatus
from pathlib import Path

import pytest
from click.testing import CliRunner
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from iii_cluster.access.certificates import server_context
from iii_cluster.cli.chaos import chaos
from iii_cluster.config.settings import Tls
from tests.support.admin_ports import admin_ports, node
from tests.support.certificates import Certificates
from tests.support.handshakes import Check, listening, shows


def wants(token: str) -> Check:
    """As the worker port of a gateway that wants a token."""

    def check(socket: ServerConnection, request: Request) -> Response | None:
        return None if shows(request, token) else socket.respond(HTTPStatus.UNAUTHORIZED, "no\n")

    return check


def attached(output: Path, admin: str, *options: str, token: str = "") -> str:
    arguments = ["--attach", "--admin", admin, "--output", str(output), *options]
    result = CliRunner().invoke(chaos, arguments, env={"III_TOKEN": token, "III_CLUSTER_TOKENS": ""})
    assert result.exit_code == 2, result.output
    return result.output


def test_an_admin_port_with_tls_is_told(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    with listening(wants(""), server_context(Tls(str(made.cert_file), str(made.key_file)))) as port:
        said = attached(tmp_path / "out", str(port))
    assert f"no node answers at 127.0.0.1:{port}: what listens there is no admin port, or wants TLS (--tls)" in said


@pytest.mark.parametrize(
    ("token", "told"),
    [
        ("", "error: the gateway wants a token; set III_TOKEN\n"),
        ("wrong", "error: the gateway does not accept the token in III_TOKEN\n"),
    ],
)
@pytest.mark.parametrize("tls", [False, True])
def test_a_gateway_that_wants_another_token_is_told(tmp_path: Path, token: str, told: str, tls: bool) -> None:
    made = Certificates(tmp_path)
    context = server_context(Tls(str(made.cert_file), str(made.key_file))) if tls else None
    with listening(wants("right"), context) as worker, admin_ports() as start:
        page: dict[str, object] = {}
        admin = start({"/cluster": (200, page)})
        own = node("gateway-1", "gateway", admin) | {"pid": os.getpid(), "tls": ["worker"] if tls else []}
        own["ports"]["worker"] = worker
        page["nodes"] = [own]
        options = ("--server-name", "localhost", "--ca-file", str(made.ca_file)) if tls else ()
        said = attached(tmp_path / "out", f"http://127.0.0.1:{admin}", *options, token=token)
    assert told in said
    assert "known to the cluster" not in said
