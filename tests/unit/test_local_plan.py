import pytest

from iii_cluster.config.load import Config, load
from iii_cluster.config.settings import Settings, Topology
from iii_cluster.local.plan import replacement, role_specs

SETTINGS = Settings(redis_urls=("redis://:hunter2@h",), worker_port=5000, admin_port=0, metrics_port=0, lease_ttl=3.0)


def plan(settings: Settings = SETTINGS, **topology: int) -> list[tuple[str, tuple[str, ...], dict[str, str], int]]:
    config = Config(settings=settings, topology=Topology(**topology))  # type: ignore[arg-type]
    return [(spec.name, spec.argv, spec.env, spec.stage) for spec in role_specs(config, settings)]


def test_every_process_has_a_name_and_gateways_are_stopped_first() -> None:
    planned = plan(gateways=2, shards=1, coordinators=1)
    assert [(name, argv[-1], stage) for name, argv, _, stage in planned] == [
        ("gateway-1", "gateway", 0),
        ("gateway-2", "gateway", 0),
        ("shard-1", "shard", 1),
        ("coordinator-1", "coordinator", 2),
    ]


def test_a_child_gets_the_resolved_settings_and_no_secret_in_its_arguments() -> None:
    [(_, argv, env, _)] = plan(gateways=0, shards=1, coordinators=0)
    assert load(None, env, {}).settings == SETTINGS
    assert "hunter2" not in " ".join(argv)


def test_a_child_does_not_read_the_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("III_CLUSTER_CONFIG", "config.yaml")
    monkeypatch.setenv("III_CLUSTER_SHARDS", "7")
    monkeypatch.setenv("III_CLUSTER_LEASE_TTL", "60")
    [(_, _, env, _)] = plan(gateways=0, shards=1, coordinators=0)
    assert "III_CLUSTER_CONFIG" not in env
    assert "III_CLUSTER_SHARDS" not in env
    assert env["III_CLUSTER_LEASE_TTL"] == "3.0"
    assert "PATH" in env


def test_own_ports_of_processes_follow_each_other_and_are_looked_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[tuple[str, int, str]] = []
    monkeypatch.setattr("iii_cluster.local.plan.check_free", lambda *arguments: checked.append(arguments))
    settings = Settings(admin_port=4000, metrics_host="127.0.0.2", metrics_port=5000)
    planned = plan(settings, gateways=1, shards=2, coordinators=0)
    assert [env["III_CLUSTER_ADMIN_PORT"] for _, _, env, _ in planned] == ["4000", "4001", "4002"]
    assert [env["III_CLUSTER_METRICS_PORT"] for _, _, env, _ in planned] == ["5000", "5001", "5002"]
    assert checked == [
        looked_at
        for position in range(3)
        for looked_at in (
            ("127.0.0.1", 4000 + position, "--admin-port"),
            ("127.0.0.2", 5000 + position, "--metrics-port"),
        )
    ]


@pytest.mark.parametrize("own", ["ADMIN", "METRICS"])
def test_any_free_port_is_left_to_the_processes(own: str) -> None:
    assert [env[f"III_CLUSTER_{own}_PORT"] for _, _, env, _ in plan(gateways=1, shards=1)] == ["0", "0", "0"]


def test_a_replacement_is_the_same_with_the_next_ports_and_then_with_those_that_became_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("plan", "ports"):
        monkeypatch.setattr(f"iii_cluster.local.{module}.check_free", lambda *arguments: None)
    settings = Settings(redis_urls=("redis://h",), admin_port=4000, metrics_port=4001)
    config = Config(settings=settings, topology=Topology(gateways=0, shards=2, coordinators=1))
    first, *others = role_specs(config, settings)
    new = replacement(first, settings, [first, *others])
    assert (new.name, new.argv, new.stage) == (first.name, first.argv, first.stage)
    assert new.env == first.env | {"III_CLUSTER_ADMIN_PORT": "4004", "III_CLUSTER_METRICS_PORT": "4005"}
    newer = replacement(others[0], settings, [new, *others]).env
    assert (newer["III_CLUSTER_ADMIN_PORT"], newer["III_CLUSTER_METRICS_PORT"]) == ("4000", "4006")


def test_a_replacement_may_take_any_ports_where_its_predecessor_could() -> None:
    config = Config(settings=SETTINGS, topology=Topology(gateways=1, shards=1, coordinators=1))
    specs = role_specs(config, SETTINGS)
    assert replacement(specs[0], SETTINGS, specs) == specs[0]
