import socket
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from iii_cluster import __version__
from iii_cluster.cli import roles
from iii_cluster.cli.main import main
from iii_cluster.cli.options import HELP
from iii_cluster.config.fields import FIELDS, SECRETS
from iii_cluster.config.settings import Settings

FREE_PORTS = ("--host", "127.0.0.1", "--worker-port", "0", "--admin-port", "0", "--metrics-port", "0")
FREE_CLIENT_PORTS = ("--http-port", "0", "--stream-port", "0")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What role processes would have been run with."""
    calls: list[tuple[Any, ...]] = []

    def run_role(role: str, settings: Settings, serve: object, *, ready_fd: int, lifeline_fd: int) -> int:
        calls.append((role, settings, serve, ready_fd, lifeline_fd))
        return 7

    for role, name in roles.SERVICES.items():
        service = types.ModuleType(name)
        service.serve = f"serve-{role}"  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, service)
    monkeypatch.setattr("iii_cluster.node.process.run_role", run_role)
    return calls


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, arguments, env=env)


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"iii-cluster, version {__version__}\n"


def test_every_setting_has_an_explained_option() -> None:
    fields = {
        name: field for name, field in FIELDS.items() if name not in SECRETS
    }  # others would read it in a list of processes
    assert set(HELP) == set(fields)
    text = " ".join(run("up", "--help").stdout.split())
    for field in fields.values():
        assert f"{field.flag} " in text
        assert field.variable in text.replace(" ", "")


@pytest.mark.parametrize("role", ["gateway", "shard", "coordinator"])
def test_a_role_runs_its_own_service_and_ends_with_its_exit_code(started: list[tuple[Any, ...]], role: str) -> None:
    options = (*FREE_PORTS, *FREE_CLIENT_PORTS, "--redis-url", "redis://h", "--ready-fd", "5", "--lifeline-fd", "6")
    result = run(role, *options)
    assert result.exit_code == 7
    ports: dict[str, Any] = dict.fromkeys(("worker_port", "http_port", "stream_port", "admin_port", "metrics_port"), 0)
    settings = Settings(redis_urls=("redis://h",), host="127.0.0.1", **ports)
    assert started == [(role, settings, f"serve-{role}", 5, 6)]


@pytest.mark.parametrize(
    ("role", "flag"),
    [
        ("shard", "--admin-port"),
        ("shard", "--metrics-port"),
        ("gateway", "--admin-port"),
        ("gateway", "--worker-port"),
        ("gateway", "--http-port"),
        ("gateway", "--stream-port"),
    ],
)
def test_a_taken_port_is_named_with_its_flag(started: list[tuple[Any, ...]], role: str, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        options = (*FREE_PORTS, *(FREE_CLIENT_PORTS if role == "gateway" else ()))
        result = run(role, "--redis-url", "redis://h", *options, flag, str(port))
    assert (result.exit_code, started) == (1, [])
    assert result.stderr == f"error: port {port} is already in use; choose another one with {flag}\n"


def test_all_taken_ports_of_a_gateway_are_told_at_once(started: list[tuple[Any, ...]], tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.create_server(("127.0.0.1", 0)) as three,
    ):
        ports = [stranger.getsockname()[1] for stranger in (one, two, three)]
        path = tmp_path / "c.yaml"
        path.write_text(
            f"cluster: {{host: 127.0.0.1, worker_port: 0, stream_port: 0, admin_port: {ports[0]}, "
            "metrics_port: 0}\n"
            "workers:\n"
            "  - name: iii-worker-manager\n"
            "  - name: iii-worker-manager\n"
            f"    config: {{port: {ports[1]}}}\n"
            "  - name: iii-http\n"
            f"    config: {{host: 127.0.0.1, port: {ports[2]}}}\n"
        )
        result = run("gateway", "--redis-url", "redis://h", "--config", str(path))
    settings = ("--admin-port", "`port` of iii-worker-manager 2", "--http-port")
    assert (result.exit_code, started) == (1, [])
    assert result.stderr.splitlines() == [
        f"error: port {port} is already in use; choose another one with {setting}"
        for port, setting in zip(ports, settings, strict=True)
    ]


def test_ports_that_gateways_share_are_not_taken(started: list[tuple[Any, ...]]) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as neighbour:
        port = str(neighbour.getsockname()[1])
        run("gateway", "--redis-url", "redis://h", *FREE_PORTS, "--http-port", port, "--stream-port", "0")
    assert len(started) == 1


def test_options_beat_the_environment_which_beats_the_file(started: list[tuple[Any, ...]], tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("cluster: {name: file, lease_ttl: 9, worker_port: 1, redis_urls: redis://file}\n")
    environ = {"III_CLUSTER_CONFIG": str(path), "III_CLUSTER_WORKER_PORT": "2", "III_CLUSTER_BARRIER": "3"}
    run(
        "shard",
        "--barrier",
        "4",
        "--admin-port",
        "0",
        "--metrics-port",
        "0",
        "--redis-url",
        "redis://a",
        "--redis-url",
        "redis://b,redis://c",
        env=environ,
    )
    [(_, settings, *_)] = started
    assert (settings.cluster, settings.lease_ttl) == ("file", 9.0)
    assert (settings.worker_port, settings.barrier) == (2, 4.0)
    assert settings.redis_urls == ("redis://a", "redis://b", "redis://c")


def test_a_role_without_redis_says_how_to_give_one(started: list[tuple[Any, ...]]) -> None:
    result = run("shard")
    assert (result.exit_code, started) == (2, [])
    assert result.stderr == "error: no Redis is given; use --redis-url or III_CLUSTER_REDIS_URL\n"


def test_all_errors_and_notices_go_to_stderr(started: list[tuple[Any, ...]], tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("workers: [{name: iii-exec}]\n")
    result = run("shard", "-c", str(path), "--redis-url", "redis://h", *FREE_PORTS)
    assert result.stderr == f"notice: {path}:1: iii-exec is not supported yet; its commands are not run\n"
    result = run("shard", "--redis-url", "h", "--worker-port", "70000", env={"III_CLUSTER_BARRIER": "soon"})
    assert result.exit_code == 2
    assert [line.partition(": ")[2].partition(": expected")[0] for line in result.stderr.splitlines()] == [
        "environment: III_CLUSTER_BARRIER",
        "command line: --redis-url: the Redis URL must start with redis://, rediss:// or unix://",
        "command line: --worker-port",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gateways", "0", "--shards", "0", "--coordinators", "0"], "nothing to run"),
        (["--shards", "0"], "--shards and --coordinators must be at least 1 unless --redis-url"),
    ],
)
def test_up_refuses_what_could_never_get_ready(arguments: list[str], message: str) -> None:
    result = run("up", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
