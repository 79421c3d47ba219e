"""What `up` and `gateway` refuse before they start anything."""

import ssl
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from iii_cluster.access.certificates import TlsError, server_context
from iii_cluster.access.tls import tls_files
from iii_cluster.cli.main import main
from iii_cluster.config.load import Config
from iii_cluster.config.settings import Settings, Tls, Topology
from iii_cluster.local.plan import admin_port_of, replacement, role_specs
from tests.support.certificates import Certificates, encrypted


@pytest.fixture(params=["up", "gateway"])
def command(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    async def started(*_: object) -> int:
        raise AssertionError("it must not come that far")

    monkeypatch.setattr("iii_cluster.cli.up.run_up", started)
    monkeypatch.setattr("iii_cluster.cli.roles._run", started)
    return str(request.param)


def run(command: str, *options: str, text: str = "", directory: Path | None = None) -> Result:
    arguments = [command, "--redis-url", "redis://h", *options]
    if directory is not None:
        path = directory / "config.yaml"
        path.write_text(text)
        arguments += ["--config", str(path)]
    return CliRunner().invoke(main, arguments, env={"III_TOKEN": "", "III_CLUSTER_CONFIG": ""})


def refused(result: Result) -> list[str]:
    assert result.exit_code == 2, result.output
    return [line.removeprefix("error: ") for line in result.stderr.splitlines()]


def test_certificates_that_are_missing_are_named_with_their_setting(command: str, tmp_path: Path) -> None:
    missing = tmp_path / "no.pem"
    [line] = refused(run(command, "--tls-cert-file", str(missing)))
    assert line == f"command line: tls_cert_file: TLS: cannot read {missing}: No such file or directory"


def test_a_missing_key_is_told_from_a_missing_certificate(command: str, tmp_path: Path) -> None:
    made, missing = Certificates(tmp_path), tmp_path / "no.key"
    [line] = refused(run(command, "--tls-cert-file", str(made.cert_file), "--tls-key-file", str(missing)))
    assert line == f"command line: tls_key_file: TLS: cannot read {missing}: No such file or directory"


def test_a_certificate_without_its_key_says_what_may_be_missing(command: str, tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    [line] = refused(run(command, "--tls-cert-file", str(made.cert_file)))
    assert line == f"command line: tls_key_file: TLS: {made.cert_file} has no key in it; name the file that has"


@pytest.mark.parametrize("prefix", ["", "admin_"])
def test_the_setting_that_is_wrong_is_named(command: str, prefix: str, tmp_path: Path) -> None:
    made, empty, broken = Certificates(tmp_path), tmp_path / "empty", tmp_path / "broken"
    empty.touch()
    broken.write_text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
    locked = tmp_path / "locked"
    locked.write_bytes(encrypted(made.key_file))

    def said(cert: Path, key: Path | None = None, authorities: Path | None = None) -> str:
        files = {"cert": cert, "key": key, "client_ca": authorities}
        lines = "".join(f"  {prefix}tls_{name}_file: {file}\n" for name, file in files.items() if file is not None)
        [line] = refused(run(command, text=f"cluster:\n{lines}", directory=tmp_path))
        return line.removeprefix(f"{tmp_path / 'config.yaml'}:")

    assert said(empty) == f"2: {prefix}tls_cert_file: TLS: {empty} has no certificate in it"
    assert said(made.cert_file) == (
        f"2: {prefix}tls_key_file: TLS: {made.cert_file} has no key in it; name the file that has"
    )
    assert said(made.cert_file, empty) == f"3: {prefix}tls_key_file: TLS: {empty} has no key in it"
    assert said(made.cert_file, locked) == (
        f"3: {prefix}tls_key_file: TLS: the key in {locked} is encrypted; give one without a password"
    )
    assert said(broken, made.key_file).startswith(f"2: {prefix}tls_cert_file: TLS: the certificate in {broken}")
    assert said(made.cert_file, made.key_file, empty).startswith(
        f"4: {prefix}tls_client_ca_file: TLS: no certificates in PEM form in {empty}"
    )


def test_all_that_ports_name_is_looked_at_and_told_at_once(command: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# none\n")
    text = (
        "cluster: {tokens_file: /no/tokens}\n"
        "workers:\n"
        "  - name: iii-worker-manager\n"
        f"    config: {{tokens_file: {tmp_path}/empty}}\n"
        "  - name: iii-worker-manager\n"
        "    config: {port: 5001, tls: {cert_file: /no/a}}\n"
        "  - name: iii-http\n"
        "    config: {tls: {cert_file: /no/b}}\n"
        "  - name: iii-stream\n"
        "    config: {tls: {cert_file: /no/c}}\n"
    )
    file = tmp_path / "config.yaml"
    assert refused(run(command, text=text, directory=tmp_path)) == [
        f"{file}:6: iii-worker-manager 2, tls.cert_file: TLS: cannot read /no/a: No such file or directory",
        f"{file}:8: iii-http, tls.cert_file: TLS: cannot read /no/b: No such file or directory",
        f"{file}:10: iii-stream, tls.cert_file: TLS: cannot read /no/c: No such file or directory",
        f"{file}:1: tokens_file: tokens: cannot read /no/tokens: No such file or directory",
        f"{file}:4: iii-worker-manager 1, tokens_file: tokens: {tmp_path}/empty has no token in it",
    ]


def test_the_admin_port_is_no_other_port_of_a_gateway(command: str) -> None:
    [line] = refused(run(command, "--admin-port", "5000", "--worker-port", "5000"))
    assert line == "worker (worker_port) and admin (admin_port) would both listen on port 5000"


def test_the_admin_ports_that_up_gives_its_processes_are_looked_at_too() -> None:
    assert len(refused(run("up", "--admin-port", "5000", "--http-port", "5002"))) == 1


def test_the_ports_of_metrics_that_up_gives_its_processes_are_no_others_either(command: str) -> None:
    [line] = refused(run(command, "--metrics-port", "5000", "--admin-port", "5000"))[:1]
    assert line == "admin (admin_port) and metrics (metrics_port) would both listen on port 5000"
    assert len(refused(run("up", "--metrics-port", "5000", "--http-port", "5002"))) == 1


def test_shards_need_no_files_of_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.cli.roles._run", lambda *_: 0)
    assert run("shard", "--tls-cert-file", "/no/a", "--admin-port", "0", "--metrics-port", "0").exit_code == 0


@pytest.mark.parametrize("role", ["gateway", "shard", "coordinator"])
def test_every_role_needs_the_files_of_its_admin_port(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.cli.roles._run", lambda *_: 0)
    [line] = refused(run(role, "--admin-tls-cert-file", "/no/a", "--admin-port", "0", "--metrics-port", "0"))
    assert line == "command line: admin_tls_cert_file: TLS: cannot read /no/a: No such file or directory"
    [line] = refused(run("up", "--gateways", "0", "--admin-tls-cert-file", "/no/a"))
    assert line.startswith("command line: admin_tls_cert_file: ")


def test_shards_need_tokens_where_others_reach_their_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.cli.roles._run", lambda *_: 0)
    options = ("--tokens-file", "/no/tokens", "--admin-port", "0", "--metrics-port", "0")
    assert run("shard", *options, "--admin-host", "localhost").exit_code == 0
    [line] = refused(run("shard", *options, "--admin-host", "0.0.0.0"))
    assert line == "command line: tokens_file: tokens: cannot read /no/tokens: No such file or directory"
    assert run("shard", *options, "--admin-host", "0.0.0.0", "--metrics-host", "127.0.0.1").exit_code == 2
    assert refused(run("shard", *options, "--metrics-host", "0.0.0.0")) == [line]


def test_a_replacement_gets_no_port_of_gateways_for_its_admin_port(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("plan", "ports"):
        monkeypatch.setattr(f"iii_cluster.local.{module}.check_free", lambda *_: None)
    settings = Settings(redis_urls=("redis://h",), admin_port=4000, http_port=4003)
    config = Config(settings=settings, topology=Topology(gateways=1, shards=1, coordinators=1))
    specs = role_specs(config, settings)
    assert admin_port_of(replacement(specs[0], settings, specs)) == 4004


def test_a_key_in_the_certificates_file_is_found(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(made.key_file.read_bytes() + made.cert_file.read_bytes())
    assert isinstance(server_context(Tls(str(both))), ssl.SSLContext)
    with pytest.raises(TlsError, match="has no certificate in it"):
        server_context(Tls(str(made.key_file)))


def test_ports_with_the_same_files_share_what_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Certificates(tmp_path)
    tls = Tls(str(made.cert_file), str(made.key_file))
    ports = [tls_files(tls), tls_files(Tls(str(made.cert_file), str(made.key_file)))]
    made.cert_file.write_text("broken")
    for port in ports:
        port.tick(10_000.0)
    assert [record.getMessage().split()[0] for record in caplog.records] == ["action=tls_reload_failed"]
