from pathlib import Path

import pytest

from iii_cluster.config.errors import InvalidConfig
from iii_cluster.config.load import load, to_environment
from iii_cluster.config.redact import redact_url, redact_urls
from iii_cluster.config.settings import Duplicates, Settings, Topology


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def errors_of(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(InvalidConfig) as caught:
        load(write(tmp_path, text), {}, {})
    assert all(error.file.endswith("config.yaml") for error in caught.value.errors)
    return [(error.line, error.message, error.hint) for error in caught.value.errors]


def test_nothing_given_means_the_defaults() -> None:
    config = load(None, {}, {})
    assert (config.settings, config.topology, config.notices) == (Settings(), Topology(), ())


def test_the_environment_beats_the_file_and_flags_beat_both(tmp_path: Path) -> None:
    path = write(tmp_path, "cluster: {name: file, shards: 3, worker_port: 1, admin_port: 2, barrier: 7}\n")
    environ = {"III_CLUSTER_WORKER_PORT": "10", "III_CLUSTER_ADMIN_PORT": "20", "III_CLUSTER_SHARDS": "5"}
    config = load(path, environ, {"admin_port": 200, "shards": None})
    assert config.settings.cluster == "file"
    assert config.settings.barrier == 7.0
    assert config.settings.worker_port == 10
    assert config.settings.admin_port == 200
    assert config.topology.shards == 5


def test_the_reference_part_and_the_cluster_section_share_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "port: 5000\nmodules: [{class: 'modules::shell::ExecModule'}]\ncluster: {gateways: 3}\n")
    config = load(path, {}, {})
    assert (config.settings.worker_port, config.topology.gateways) == (5000, 3)
    assert [notice.line for notice in config.notices] == [2]


def test_variables_of_the_file_come_from_the_same_environment(tmp_path: Path) -> None:
    path = write(tmp_path, "cluster:\n  redis_urls: ['${URL}']\n  shards: ${SHARDS:4}\n")
    config = load(path, {"URL": "redis://h/0"}, {})
    assert config.settings.redis_urls == ("redis://h/0",)
    assert config.topology.shards == 4


@pytest.mark.parametrize("given", ["redis://a,redis://b", ["redis://a", " redis://b"], ("redis://a, redis://b",)])
def test_redis_urls_may_be_joined_by_commas_or_repeated(given: object) -> None:
    assert load(None, {}, {"redis_urls": given}).settings.redis_urls == ("redis://a", "redis://b")


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("cluster: 5\n", 1, "`cluster` must be a mapping", ""),
        ("cluster:\n  shard: 1\n", 2, "unknown key `cluster.shard`", "did you mean `shards`?"),
        ("cluster:\n  shards: two\n", 2, "`cluster.shards`: expected `int`, got `str`", ""),
        ("cluster:\n  shards: -1\n", 2, "`cluster.shards`: expected `int` >= 0", ""),
        ("cluster:\n  barrier: .inf\n", 2, "`cluster.barrier`: expected a finite number", ""),
        ("cluster:\n  barrier: 0\n", 2, "`cluster.barrier`: expected `float` > 0.0", ""),
        ("cluster:\n  name: 'a b'\n", 2, "`cluster.name`: expected `str` matching", ""),
        ("cluster:\n  log_level: loud\n", 2, "`cluster.log_level`: invalid enum value 'loud'", "one of debug, error"),
        ("cluster:\n  duplicate_functions: x\n", 2, "invalid enum value 'x'", "one of balance, reject, replace"),
        ("cluster:\n  redis_urls: h:6379\n", 2, "the Redis URL must start with redis://", ""),
        ("cluster:\n  redis_urls: [redis://a, b]\n", 2, "Redis URL 2 must start with", ""),
        ("cluster:\n  redis_urls: 5\n", 2, "expected a Redis URL or a list", ""),
        ("cluster:\n\n  lease_ttl: 0.6\n", 3, "`lease_interval` (0.5 s) must be at most half", "late renewal"),
        ("cluster:\n  max_message_bytes: 100\n", 2, "`max_frame_bytes` must not exceed", ""),
        ("port: 1\ncluster:\n  worker_port: 2\n", 3, "`cluster.worker_port` contradicts the worker manager's", ""),
    ],
)
def test_a_wrong_cluster_section_is_refused_with_line_and_hint(
    tmp_path: Path, text: str, line: int, message: str, hint: str
) -> None:
    [(found_line, found_message, found_hint)] = errors_of(tmp_path, text)
    assert found_line == line
    assert message in found_message
    assert hint in found_hint


def test_errors_of_file_environment_and_flags_come_together(tmp_path: Path) -> None:
    path = write(tmp_path, "prt: 1\ncluster: {shrds: 1}\n")
    with pytest.raises(InvalidConfig) as caught:
        load(path, {"III_CLUSTER_SHARDS": "two"}, {"worker_port": 70000})
    assert [(error.file, error.line) for error in caught.value.errors] == [
        (str(path), 1),
        (str(path), 2),
        ("environment", 0),
        ("command line", 0),
    ]
    assert "III_CLUSTER_SHARDS: expected `int`" in str(caught.value)
    assert "--worker-port: expected `int` <= 65535" in str(caught.value)


def test_an_empty_variable_counts_as_unset() -> None:
    assert load(None, {"III_CLUSTER_SHARDS": "", "III_CLUSTER_REDIS_URL": ""}, {}).topology.shards == 2


def test_foreign_variables_of_the_same_prefix_are_left_alone() -> None:
    environ = {"III_CLUSTER_PORT": "tcp://10.0.0.1:49134", "III_CLUSTER_SERVICE_HOST": "10.0.0.1"}
    assert load(None, environ, {}).settings == Settings()


def test_a_child_loads_exactly_the_settings_it_was_given() -> None:
    settings = Settings(
        cluster="blue",
        redis_urls=("redis://a:1/0", "redis://:p@b:2"),
        worker_port=0,
        duplicate_functions=Duplicates.REJECT,
        lease_ttl=3.5,
        log_level="debug",
    )
    assert load(None, to_environment(settings), {}).settings == settings


@pytest.mark.parametrize("value", ["h:secret@x", "http://u:secret@h", "redis://:secret/x@h:6379", "redis://[:secret@h"])
def test_a_refused_redis_url_is_not_shown(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(write(tmp_path, f"cluster: {{redis_urls: ['{value}']}}\n"), {"III_CLUSTER_REDIS_URL": value}, {})
    assert len(caught.value.errors) == 2
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://user:secret@h:6379/0", "redis://***@h:6379/0"),
        ("rediss://:s@cret@h:6379", "rediss://***@h:6379"),
        ("redis://:sec/ret#x@h:6379/1?password=secret", "redis://***@h:6379/1"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
        ("redis://[::1]:6379", "redis://[::1]:6379"),
    ],
)
def test_urls_are_shown_without_credentials(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert redact_urls([url, url]) == f"{shown}, {shown}"


TWO_LISTENERS = (
    "workers:\n  - name: iii-worker-manager\n  - name: iii-worker-manager\n    config: {port: 49135, rbac: {}}\n"
)


@pytest.mark.parametrize(
    ("text", "environ", "flags", "message"),
    [
        (TWO_LISTENERS.replace("49135", "49134"), {}, {}, "config.yaml:4: worker (worker_port) and worker-2 "),
        (TWO_LISTENERS, {"III_CLUSTER_WORKER_PORT": "49135"}, {}, "environment: worker (worker_port) and worker-2 "),
        (TWO_LISTENERS, {}, {"worker_port": 49135}, "command line: worker (worker_port) and worker-2 "),
        (TWO_LISTENERS, {}, {"http_port": 49135}, "command line: worker-2 (`port` of iii-worker-manager 2) and http "),
        (TWO_LISTENERS, {"III_CLUSTER_STREAM_PORT": "49134"}, {}, "worker (worker_port) and stream (stream_port)"),
        ("", {}, {"http_port": 3112}, "http (http_port) and stream (stream_port) would both listen on port 3112"),
        (
            "workers:\n  - name: iii-http\n    config: {port: 49134}\n",
            {},
            {},
            "config.yaml:3: worker (worker_port) and ",
        ),
        (
            TWO_LISTENERS + "  - name: iii-worker-manager\n    config: {port: 49135, host: '::1'}\n",
            {},
            {},
            "config.yaml:6: worker-2 (`port` of iii-worker-manager 2) and worker-3 ",
        ),
        ("workers:\n  - name: iii-stream\n    config: {port: 49134, host: localhost}\n", {}, {"host": "127.0.0.1"}, ""),
    ],
)
def test_no_two_listeners_of_a_gateway_share_a_port(
    tmp_path: Path, text: str, environ: dict[str, str], flags: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(write(tmp_path, text), environ, flags)
    [error] = caught.value.errors
    assert message in str(error)


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (TWO_LISTENERS.replace("49135", "0"), {"III_CLUSTER_WORKER_PORT": "0"}),
        (TWO_LISTENERS.replace("49135", "49134"), {"III_CLUSTER_WORKER_PORT": "5000"}),
        (
            TWO_LISTENERS.replace("port: 49135", "port: 49134, host: 127.0.0.2"),
            {"III_CLUSTER_HOST": "127.0.0.1"},
        ),
        ("", {"III_CLUSTER_HTTP_PORT": "0", "III_CLUSTER_STREAM_PORT": "0"}),
    ],
)
def test_ports_that_are_free_to_choose_moved_away_or_of_other_addresses_do_not_clash(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    load(write(tmp_path, text), environ, {})


@pytest.mark.parametrize("name", ["tls_key_file", "tls_client_ca_file"])
def test_half_of_tls_of_admin_ports_is_refused(tmp_path: Path, name: str) -> None:
    found = errors_of(tmp_path, f"cluster:\n  tls_cert_file: /a.pem\n  admin_{name}: /a.pem\n")
    assert found == [(3, f"`admin_{name}` without `admin_tls_cert_file`: nothing would be encrypted", "")]
    whole = load(None, {"III_CLUSTER_ADMIN_TLS_CERT_FILE": "/c.pem", f"III_CLUSTER_ADMIN_{name.upper()}": "/a.pem"}, {})
    assert whole.settings.admin_tls is not None
    assert whole.settings.tls is None


@pytest.mark.parametrize("name", ["tls_key_file", "tls_client_ca_file"])
def test_half_of_tls_is_refused(tmp_path: Path, name: str) -> None:
    found = errors_of(tmp_path, f"cluster:\n  {name}: /a.pem\n")
    assert found == [(2, f"`{name}` without `tls_cert_file`: nothing would be encrypted", "")]
    with pytest.raises(InvalidConfig, match=r"environment: .*nothing would be encrypted"):
        load(None, {f"III_CLUSTER_{name.upper()}": "/a.pem"}, {})
    with pytest.raises(InvalidConfig, match="nothing would be encrypted"):
        load(
            None,
            {f"III_CLUSTER_{name.upper()}": "/a.pem", "III_CLUSTER_TLS_CERT_FILE": "/b.pem"},
            {"tls_cert_file": ""},
        )


@pytest.mark.parametrize("block", ["{key_file: a}", "{cert_file: ''}"])
@pytest.mark.parametrize("name", ["iii-worker-manager", "iii-http", "iii-stream"])
def test_half_of_a_ports_own_tls_is_refused(tmp_path: Path, name: str, block: str) -> None:
    [(_, message, _)] = errors_of(tmp_path, f"workers:\n  - name: {name}\n    config:\n      tls: {block}\n")
    assert "tls" in message


def test_compression_off_needs_no_quotes(tmp_path: Path) -> None:
    text = "cluster:\n  compression: {}\n"
    assert load(write(tmp_path, text.format("off")), {}, {}).settings.compression == "off"
    [(line, message, hint)] = errors_of(tmp_path, text.format("on"))
    assert (line, hint) == (2, "one of all, off, streams, workers")
    assert message == "`cluster.compression`: expected one of 4 words, got `bool`"
