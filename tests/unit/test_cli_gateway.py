"""Commands that reach their gateway with TLS and a token."""

import ssl
from http import HTTPStatus
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from iii_cluster.access.trust import Trust
from iii_cluster.cli.gateway import Gateway
from iii_cluster.cli.main import main
from tests.support.certificates import Certificates, encrypted
from tests.support.handshakes import Check, listening, shows


def wants(token: str) -> Check:
    def check(socket: ServerConnection, request: Request) -> Response | None:
        if shows(request, token):
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "known but full\n")
        return socket.respond(HTTPStatus.UNAUTHORIZED, "no\n")

    return check


def invoke(port: int, *options: str, **env: str) -> Result:
    return CliRunner().invoke(main, ["invoke", "f", "--port", str(port), *options], env=env)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "error: the gateway wants a token; set III_TOKEN\n"),
        ("wrong", "error: the gateway does not accept the token in III_TOKEN\n"),
        ("secret", "takes nobody now: known but full\n"),
        ("secret,next", "takes nobody now: known but full\n"),
    ],
)
def test_the_token_comes_from_the_environment(given: str, said: str) -> None:
    with listening(wants("secret")) as port:
        result = invoke(port, III_TOKEN=given)
    assert result.exit_code == 1
    assert result.stderr.endswith(said)
    assert "secret" not in result.stderr


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def server_context(certificates: Certificates, *, clients: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert_file, certificates.key_file)
    if clients:
        context.load_verify_locations(certificates.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_gateway_is_trusted_whose_authority_is_named(certificates: Certificates) -> None:
    with listening(wants("t"), server_context(certificates)) as port:
        for options, env in (
            (("--ca-file", str(certificates.ca_file)), {}),
            ((), {"CA_FILE": str(certificates.ca_file)}),
        ):
            result = invoke(
                port, *options, III_TOKEN="t", **{f"III_CLUSTER_{name}": value for name, value in env.items()}
            )
            assert "known but full" in result.stderr
        unknown = invoke(port, "--tls")
        assert "is not trusted" in unknown.stderr
        assert "--ca-file" in unknown.stderr
        assert "--tls" in invoke(port).stderr


def test_a_gateway_may_want_a_certificate(certificates: Certificates) -> None:
    trust = ("--ca-file", str(certificates.ca_file))
    own = ("--client-cert", str(certificates.cert_file), "--client-key", str(certificates.key_file))
    with listening(wants("t"), server_context(certificates, clients=True)) as port:
        assert "known but full" in invoke(port, *trust, *own, III_TOKEN="t").stderr
        without = invoke(port, *trust, III_TOKEN="t")
    assert without.exit_code == 1
    assert without.stderr.count("\n") == 1


def test_a_port_without_tls_is_told_from_others(certificates: Certificates) -> None:
    with listening(wants("t")) as port:
        result = invoke(port, "--ca-file", str(certificates.ca_file))
    assert (result.exit_code, result.stderr) == (1, f"error: what listens on 127.0.0.1:{port} does not speak TLS\n")


def test_files_that_cannot_be_used_are_named(certificates: Certificates, tmp_path: Path) -> None:
    missing = invoke(1, "--ca-file", str(tmp_path / "missing.pem"))
    assert "missing.pem: No such file" in missing.stderr
    (tmp_path / "garbage.pem").write_text("garbage")
    garbage = invoke(1, "--ca-file", str(tmp_path / "garbage.pem"))
    assert f"{tmp_path / 'garbage.pem'} cannot be used" in garbage.stderr


def test_a_certificate_that_cannot_be_shown_says_what_is_wrong_with_it(certificates: Certificates) -> None:
    cert, key = str(certificates.cert_file), str(certificates.key_file)
    alone = invoke(1, "--client-cert", cert)
    assert alone.stderr == f"error: {cert} has no key in it; name the file that has with --client-key\n"
    empty = certificates.cert_file.with_name("empty")
    empty.touch()
    assert invoke(1, "--client-cert", str(empty)).stderr == f"error: {empty} has no certificate in it\n"
    wrong = invoke(1, "--client-cert", cert, "--client-key", cert)
    assert wrong.stderr == f"error: {cert} has no key in it\n"
    missing = invoke(1, "--client-cert", cert, "--client-key", "/no/key")
    assert missing.stderr == "error: cannot read /no/key: No such file or directory\n"
    certificates.issue()
    other = Certificates(certificates.cert_file.parent, "other")
    mixed = invoke(1, "--client-cert", cert, "--client-key", str(other.key_file))
    assert mixed.stderr == f"error: the key in {other.key_file} is not that of the certificate in {cert}\n"
    certificates.key_file.write_bytes(encrypted(certificates.key_file))
    locked = invoke(1, "--client-cert", cert, "--client-key", key)
    assert locked.stderr == f"error: the key in {key} is encrypted; give one without a password\n"


@pytest.mark.parametrize("command", [["invoke", "f"], ["workers"], ["status"], ["drain", "gateway-1"]])
def test_a_key_without_a_certificate_is_refused(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--client-key", "own.key"])
    assert result.exit_code == 2
    assert "--client-key has no effect without --client-cert" in result.stderr


def test_a_certificate_for_another_name_says_how_to_name_it(tmp_path: Path) -> None:
    made = Certificates(tmp_path, hosts=("gateway.example.org",))
    with listening(wants("t"), server_context(made)) as port:
        for name in ((), ("--server-name", "other.example.org")):
            said = invoke(port, "--ca-file", str(made.ca_file), *name).stderr
            assert "is for another name" in said
            assert "--server-name" in said
            assert "--ca-file" not in said
        known = ("--ca-file", str(made.ca_file), "--server-name", "gateway.example.org")
        assert "known but full" in invoke(port, *known, III_TOKEN="t").stderr


def test_addresses_of_gateways() -> None:
    assert Gateway("::1", 1).url == "ws://[::1]:1/"
    assert Gateway("h", 1, trust=Trust(tls=True)).url == "wss://h:1/"
    assert Gateway("h", 1).url == "ws://h:1/"
