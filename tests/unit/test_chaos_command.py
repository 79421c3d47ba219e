from pathlib import Path

import pytest
from click.testing import CliRunner

from iii_cluster.access.trust import Trust
from iii_cluster.chaos.faults.kinds import KINDS
from iii_cluster.chaos.load.selection import chosen
from iii_cluster.chaos.options import Options
from iii_cluster.cli.chaos import chaos


def test_all_faults_can_be_listed() -> None:
    result = CliRunner().invoke(chaos, ["--list-faults"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == list(KINDS)


@pytest.mark.parametrize(
    "arguments", [["--faults", "melt"], ["--duration", "1"], ["--gateways", "0"], ["--seed", "x"], ["--nonsense"]]
)
def test_wrong_usage_ends_with_2_before_anything_is_started(arguments: list[str]) -> None:
    assert CliRunner().invoke(chaos, arguments).exit_code == 2


def test_nobody_to_attach_to_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(chaos, ["--attach", "--admin", "127.0.0.1:1", "--output", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "error: no node answers at 127.0.0.1:1" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--faults", ""], "--faults names none"),
        (["--attach", "--faults", "gateway-term,network"], "left out: gateway-term: `up` does not start"),
        (["--attach", "--faults", "gateway-term,network"], "left out: network-blip, network-cut: all of it is on one"),
        (["--attach", "--faults", "redis-flush"], "left out: redis-flush: needs --redis-faults"),
    ],
)
def test_a_run_without_faults_is_refused_with_the_reasons(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(chaos, arguments)
    assert result.exit_code == 2
    assert "error: there is no fault to inject" in result.output
    assert reason in result.output
    assert "seed" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--redis-faults"],
        ["--admin", "127.0.0.1:1"],
        ["--tls"],
        ["--ca-file", "ca.pem"],
        ["--client-cert", "own.pem"],
        ["--client-key", "own.key"],
        ["--server-name", "a.example.org"],
        ["--attach", "--redis-url", "redis://127.0.0.1"],
        ["--attach", "--gateways", "2"],
        ["--attach", "--shards", "3"],
        ["--attach", "--coordinators", "2"],
    ],
)
def test_options_without_effect_are_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(chaos, arguments)
    assert result.exit_code == 2
    assert f"{arguments[-2] if len(arguments) > 1 else arguments[0]} has no effect with" in result.output


def options(**changed: object) -> Options:
    fields: dict[str, object] = {
        "seed": 5,
        "duration": 30.0,
        "every": 2.5,
        "faults": ("shard-kill", "redis-kill"),
        "gateways": 2,
        "shards": 3,
        "coordinators": 2,
        "rate": 80.0,
        "load": chosen(None),
        "output": Path("out"),
        **changed,
    }
    return Options(**fields)  # type: ignore[arg-type]


def test_the_command_to_repeat_a_run_has_everything_that_decides_about_its_faults() -> None:
    assert options().command() == (
        "iii-cluster chaos --seed 5 --duration 30 --every 2.5 --rate 80 --faults shard-kill,redis-kill"
        " --gateways 2 --shards 3 --coordinators 2"
    )


def test_the_command_to_repeat_a_run_on_a_running_cluster_attaches_again() -> None:
    command = options(attach="http://127.0.0.1:9", redis_url="redis://127.0.0.1:6379").command()
    assert command.endswith("--attach --admin http://127.0.0.1:9 --redis-faults --redis-url redis://127.0.0.1:6379")


def test_the_command_to_repeat_a_run_reaches_ports_with_tls_again() -> None:
    trust = Trust(True, "ca.pem", "own.pem", "own.key", "a.example.org")
    command = options(attach="https://127.0.0.1:9", trust=trust).command()
    assert command.endswith(
        "--attach --admin https://127.0.0.1:9"
        " --ca-file ca.pem --client-cert own.pem --client-key own.key --server-name a.example.org"
    )


def test_files_that_cannot_be_used_to_attach_are_named(tmp_path: Path) -> None:
    attach = ["--attach", "--admin", "127.0.0.1:1", "--ca-file", "/no/ca.pem", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(chaos, attach)
    assert result.exit_code == 2
    assert "error: cannot read /no/ca.pem: No such file or directory" in result.output
