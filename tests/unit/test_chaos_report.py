from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from iii_cluster.chaos.checks import Violation
from iii_cluster.chaos.clusters.logs import Logs
from iii_cluster.chaos.history import Call, Connection, History, Injected
from iii_cluster.chaos.options import Options
from iii_cluster.chaos.report.place import NotWritable, place
from iii_cluster.chaos.report.report import Report, Verdict, report
from iii_cluster.chaos.report.screen import Screen
from iii_cluster.chaos.run import Outcome
from iii_cluster.chaos.stage import finish
from iii_cluster.cli.chaos import chaos

BROKEN = Violation(check="every call ends", at=3.0, text="call 1 has not ended")


def made(output: Path, *violations: Violation, calls: Sequence[Call] = (), **outcome: Any) -> tuple[Report, History]:
    options = Options(
        seed=5,
        duration=10.0,
        every=2.0,
        faults=("shard-kill",),
        gateways=1,
        shards=1,
        coordinators=1,
        rate=10.0,
        load={"calls": 1.0},
        output=output,
    )
    fault = Injected(index=0, kind="shard-kill", victims=["shard-1"], began=2.0, over=3.0, healed=3.0)
    caller = Connection(id=1, client="caller", gateway="gateway-1", worker="w", opened=0.5)
    history = History(lease_ttl=2.0, connections=[caller], faults=[fault], calls=list(calls), ended=10.0)
    return report(options, Outcome(plan=[], history=history, violations=list(violations), **outcome), {}), history


@pytest.mark.parametrize(("violations", "verdict"), [((), Verdict.CLEAN), ((BROKEN,), Verdict.VIOLATED)])
def test_a_report_is_shown_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], violations: tuple[Violation, ...], verdict: Verdict
) -> None:
    assert finish(*made(tmp_path, *violations), Screen(10)) is verdict
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "history.jsonl", "timeline.svg"}
    printed = capsys.readouterr().out
    assert f"report: {tmp_path}" in printed
    assert "Load" not in printed  # there was none


def test_what_can_not_be_written_is_told_after_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").mkdir()
    assert finish(*made(tmp_path), Screen(10)) is Verdict.TROUBLE
    printed = capsys.readouterr()
    assert "clean: seed 5, 1 faults" in printed.out
    assert "report:" not in printed.out
    assert f"error: report.json could not be written to {tmp_path}: Is a directory" in printed.err.replace("\n", "")
    assert (tmp_path / "timeline.svg").exists()


def test_a_violation_counts_more_than_a_report_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").mkdir()
    assert finish(*made(tmp_path, BROKEN), Screen(10)) is Verdict.VIOLATED


@pytest.mark.parametrize(("violations", "said"), [((), "no violation so far: seed 5"), ((BROKEN,), "1 violations")])
def test_an_interrupted_run_says_so_and_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], violations: tuple[Violation, ...], said: str
) -> None:
    assert finish(*made(tmp_path, *violations, interrupted=7.2), Screen(10)) is Verdict.INTERRUPTED
    printed = capsys.readouterr().out
    assert "interrupted after 7 s: what must hold at the end was not checked" in printed
    assert said in printed
    assert "clean" not in printed


def test_errors_are_told_in_full_within_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    codes = ["ok", *["invocation_stopped"] * 155, *["function_not_found"] * 92]
    calls = [
        Call(n=n, kind="replicated", function="f", connection=1, began=1.0, ended=1.9999, outcome=code)
        for n, code in enumerate(codes)
    ]
    finish(*made(tmp_path, BROKEN, calls=calls), Screen(10))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith("invocation_stopped 155")]
    assert [line.strip() for line in lines].count("function_not_found 92") == 2  # of the kind, and of all


def test_an_output_that_can_not_be_made_is_refused_in_one_line_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = str(tmp_path / "file" / "out")
    result = CliRunner().invoke(chaos, ["--faults", "shard", "--output", output])
    assert result.exit_code == 2
    assert result.output == f"error: --output {output} can not be written: Not a directory\n"


def test_a_directory_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    there, new = tmp_path / "there", tmp_path / "new"
    there.mkdir()
    for directory in (there, new):
        with place(directory):
            assert directory.is_dir()
    assert there.is_dir()
    assert not new.exists()
    with pytest.raises(NotWritable), place(Path("/proc/chaos")):
        pass


def test_logs_that_can_not_be_written_are_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    logs = Logs(tmp_path / "away", said.append)
    logs.write("shard-1", 1.0, "line")
    logs.write("shard-2", 1.0, "line")
    logs.close()
    assert said == ["logs can not be written: No such file or directory"]


def test_a_rule_that_is_broken_often_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    often = [Violation(check="often", at=float(n), text=f"number {n}") for n in range(9)]
    rare = Violation(check="rare", at=20.0, text="once")
    finish(*made(tmp_path, *often, rare), Screen(10))
    shown = [line.split() for line in capsys.readouterr().out.splitlines() if " s  " in line]
    assert [line[-1] for line in shown] == ["0", "1", "2", "3", "once"]
