"""`iii-cluster chaos` itself: short runs as a user starts them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from iii_cluster.chaos.clusters.hosts import PREFIX
from tests.support.certificates import Certificates
from tests.support.up import MakeUp

TIMEOUT = 110  # s for a whole run of some twenty, on a machine that does much else
COMMAND = "iii_cluster.cli.main"


class Chaos:
    """One run in a process of its own."""

    def __init__(self, directory: Path, *arguments: str, module: str = COMMAND) -> None:
        self.output = directory / "run"
        argv = [sys.executable, "-m", module, "chaos", "--output", str(self.output), *arguments]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.pid = self.process.pid

    def lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        return iter(self.process.stdout)

    def end(self) -> tuple[int, str]:
        """Exit code and what was printed."""
        printed, _ = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, printed

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Callable[..., Chaos]]:
    runs: list[Chaos] = []

    def start(*arguments: str, **options: str) -> Chaos:
        runs.append(Chaos(tmp_path, *arguments, **options))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


def test_a_short_run_is_clean_and_leaves_its_report(chaos: Callable[..., Chaos]) -> None:
    faults = "gateway-kill,shard-kill,leader-kill,redis-pause,workers-reset"
    run = chaos("--seed", "28", "--duration", "10", "--every", "2", "--rate", "60", "--faults", faults)
    status, printed = run.end()
    assert status == 0, printed
    assert "clean: seed 28" in printed
    report = json.loads((run.output / "report.json").read_text())
    assert report["clean"]
    assert report["violations"] == []
    assert {fault["kind"] for fault in report["faults"] if not fault["skipped"]} == set(faults.split(","))
    assert next(row for row in report["load"] if row["kind"] == "all")["ok"] > 0
    effects = {row["what"].split()[0]: row["effects"] for row in report["effects"]}
    assert effects.keys() == {"queue", "topic,", "cron", "state,", "stream,", "pub/sub,", "HTTP,", "channels,"}
    assert all(effects.values())
    drawn = ElementTree.parse(run.output / "timeline.svg").getroot()
    assert drawn.tag.endswith("svg")
    kinds = {json.loads(line)["type"] for line in (run.output / "history.jsonl").read_text().splitlines()}
    assert {"call", "connection", "execution", "fault", "final", "map", "registration", "told"} <= kinds
    assert {"attempt", "tick", "count", "total", "noticed", "change", "shown", "view", "heard"} <= kinds
    assert {"gateway-1.log", "gateway-2.log", "shard-3.log", "coordinator-2.log"} <= set(
        os.listdir(run.output / "logs")
    )


def test_a_function_that_vanishes_is_a_violation_with_the_seed_to_repeat_it(chaos: Callable[..., Chaos]) -> None:
    faults = ("--duration", "5", "--faults", "shard-pause", "--shards", "1", "--coordinators", "1", "--load", "calls")
    status, printed = chaos("--seed", "4711", *faults, module="tests.support.chaos_saboteur").end()
    assert status == 1, printed
    assert "violations, seed 4711" in printed
    assert "a function with a live owner is found" in printed
    assert "iii-cluster chaos --seed 4711 --duration 5 " in printed


def test_an_interrupted_run_is_judged_so_far_and_leaves_nothing_behind(chaos: Callable[..., Chaos]) -> None:
    small = ("--shards", "1", "--coordinators", "1")
    run = chaos("--seed", "57", "--duration", "60", "--every", "1", *small, "--faults", "network-cut,gateway-freeze")
    for line in run.lines():
        if line.startswith("#1 "):  # a gateway is frozen and, where there can be hosts, another one cut off
            break
    family = psutil.Process(run.pid).children(recursive=True)
    assert len(family) >= 4
    run.process.send_signal(signal.SIGINT)
    status, printed = run.end()
    assert status == 130, printed
    assert "interrupted after " in printed
    assert "no violation so far: seed 57, " in printed
    report = json.loads((run.output / "report.json").read_text())
    assert report["interrupted"] > 0
    assert len(report["faults"]) >= 2
    assert next(row for row in report["load"] if row["kind"] == "all")["ok"] > 0
    assert (run.output / "history.jsonl").stat().st_size
    assert "interrupted after" in (run.output / "timeline.svg").read_text()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    namespaces = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    assert not [name for name in namespaces if name.startswith(f"{PREFIX}{run.pid}-")]


async def test_a_cluster_that_runs_already_is_broken_and_left_as_it_was(
    chaos: Callable[..., Chaos], make_up: MakeUp
) -> None:
    up = await make_up("--gateways", "2", "--coordinators", "1").ready()
    faults = "gateway-pause,shard-kill,workers-reset"
    options = ("--duration", "6", "--every", "1.5", "--rate", "40", "--faults", faults)
    status, printed = await asyncio.to_thread(chaos("--attach", "--admin", up.admin, *options).end)
    assert status == 0, printed
    assert "clean: seed" in printed
    assert [node["ready"] for node in up.nodes()] == [True] * 5
    assert up.stop() == 0


async def test_a_cluster_with_tls_and_tokens_everywhere_is_attached_to(
    chaos: Callable[..., Chaos], make_up: MakeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = Certificates(tmp_path)
    ca_file, tokens_file = str(certificates.ca_file), tmp_path / "tokens.txt"
    await asyncio.to_thread(tokens_file.write_text, "a-token-of-the-file-0001\n")
    given = certificates.options | certificates.admin_options
    given |= {"tls-client-ca-file": ca_file, "admin-tls-client-ca-file": ca_file}
    given |= {"tokens-file": str(tokens_file), "admin-host": "0.0.0.0", "gateways": "2"}
    up = await make_up(*(part for name, value in given.items() for part in (f"--{name}", value))).ready()
    attach = ("--attach", "--admin", up.admin, "--duration", "6", "--every", "1.5", "--rate", "40")
    refused, said = await asyncio.to_thread(chaos(*attach, "--faults", "gateway-pause").end)
    assert (refused, "is not trusted" in said) == (2, True), said
    own = ("--client-cert", str(certificates.cert_file), "--client-key", str(certificates.key_file))
    known = (*attach, "--ca-file", ca_file, *own)
    refused, said = await asyncio.to_thread(chaos(*known, "--faults", "gateway-pause").end)
    assert (refused, "wants a token; set III_TOKEN" in said) == (2, True), said
    monkeypatch.setenv("III_TOKEN", "a-token-of-the-file-0001")
    status, printed = await asyncio.to_thread(chaos(*known, "--faults", "gateway-pause,workers-reset").end)
    assert status == 0, printed
    assert "clean: seed" in printed
    assert "load left out" not in printed
    assert up.stop() == 0


def test_a_cluster_of_its_own_may_have_tls(
    chaos: Callable[..., Chaos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = Certificates(tmp_path)
    for option, value in (certificates.options | certificates.admin_options).items():
        monkeypatch.setenv(f"III_CLUSTER_{option.upper().replace('-', '_')}", value)
    status, printed = chaos("--duration", "5", "--every", "1", "--rate", "40", "--faults", "workers-reset").end()
    assert status == 0, printed
