"""Processes of the fork server, which most tests' nodes are, are like others."""

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import forks
from tests.support.eventually import eventually
from tests.support.process import Process

PROBE = "tests.support.fork_probe"
LAZY = {"prometheus_client", "aiohttp", "grpc", "pytest", "hypothesis"}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process("probe", tmp_path / "log")
    yield process
    process.kill()


@pytest.fixture
def server() -> Iterator[forks.ForkServer]:
    """One of the test's own."""
    server = forks.ForkServer()
    yield server
    server.close()


def told(process: Process) -> dict[str, Any]:
    """What the probe says of itself."""
    said: dict[str, Any] = json.loads(process.log.read_text().splitlines()[0])
    return said


def ended(process: Process, *argv: str, env: Mapping[str, str] | None = None, fresh: bool = False) -> dict[str, Any]:
    """What a probe said that has ended by itself."""
    if fresh:
        env = {**(os.environ if env is None else env), "PYTHONSAFEPATH": ""}
    process.fork(PROBE, argv or ["ends"], env)
    assert process.wait() == 0, process.tail()
    return told(process)


def test_it_is_as_a_process_that_was_just_started(process: Process) -> None:
    forked = ended(process)
    process.log.unlink()
    fresh = ended(process, fresh=True)
    del fresh["env"]["PYTHONSAFEPATH"]
    for same in ("argv", "path", "cwd", "env", "fds", "group", "frozen", "threads", "handled", "wakes"):
        assert forked[same] == fresh[same], same
    assert forked["random"] != fresh["random"]
    assert not LAZY & set(forked["packages"])


def test_what_it_is_given_is_all_it_has(process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read, write = os.pipe()
    try:
        process.fork(PROBE, ["ends", "--x"], {"ONLY": "this \udcff"}, [write, read])
        assert process.wait() == 0, process.tail()
    finally:
        os.close(read)
        os.close(write)
    said = told(process)
    assert (said["argv"], said["cwd"], said["path"]) == (["ends", "--x"], str(tmp_path), str(tmp_path))
    assert {name: value for name, value in said["env"].items() if name != "LC_CTYPE"} == {"ONLY": "this \udcff"}
    assert said["fds"] == sorted([0, 1, 2, read, write])


def test_each_has_chance_of_its_own(process: Process) -> None:
    state = random.getstate()
    numbers = []
    for _ in range(2):
        numbers.append(ended(process)["random"])
        process.log.unlink()
    assert numbers[0] != numbers[1]
    assert random.getstate() == state


@pytest.mark.parametrize(
    ("argv", "status", "last"),
    [
        (["exits", "7"], 7, "at exit"),
        (["exits", "0"], 0, "at exit"),
        (["complains"], 1, "at exit"),
        (["fails"], 1, "at exit"),
        (["interrupted"], -signal.SIGINT, "at exit"),
    ],
)
def test_it_ends_as_it_says(process: Process, argv: list[str], status: int, last: str) -> None:
    process.fork(PROBE, argv)
    assert process.wait() == status
    assert not process.running
    written = process.log.read_text()
    assert last in written
    assert ("there is nothing to do" in written) == (argv == ["complains"])
    assert ("RuntimeError: this fails" in written) == (argv == ["fails"])
    assert ("KeyboardInterrupt" in written) == (argv == ["interrupted"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
async def test_signals_reach_it(process: Process, number: signal.Signals) -> None:
    process.fork(PROBE, ["waits"])
    await eventually(lambda: process.log.read_text().endswith("\n"))
    assert process.running
    process.pause()
    await eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    assert process.running
    process.resume()
    process.child.send_signal(number)
    assert process.wait() == -number
    process.child.send_signal(number)  # to nobody: its number may be another's by now


def test_waiting_ends_in_time(process: Process) -> None:
    process.fork(PROBE, ["waits"])
    with pytest.raises(subprocess.TimeoutExpired):
        process.child.wait(0.01)
    assert process.running


def test_a_pipe_ends_with_the_process_that_has_it(process: Process, tmp_path: Path) -> None:
    """Neither the server nor forks before or after it keep it open."""
    others = [Process(name, tmp_path / name) for name in ("before", "after")]
    read, write = os.pipe()
    try:
        others[0].fork(PROBE, ["waits"])
        process.fork(PROBE, ["waits"], fds=[write])
        others[1].fork(PROBE, ["waits"])
        os.close(write)
        process.kill()
        os.set_blocking(read, False)
        assert os.read(read, 1) == b""
    finally:
        os.close(read)
        for other in others:
            other.kill()


def test_what_python_reads_at_its_start_asks_for_a_new_one(process: Process, tmp_path: Path) -> None:
    (tmp_path / "named_by_a_file.py").write_text('def main():\n    print("imported")\n')
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert not forks.server().suits(env)
    process.fork("named_by_a_file", [], env)
    process.wait()
    assert "imported" not in process.log.read_text()  # it has run as a script, whose `main` nobody calls
    assert "No module" not in process.log.read_text()


def test_modules_are_found_where_it_runs(process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "named_by_a_file.py").write_text(f'def main():\n    print("of {number}")\n')
        monkeypatch.chdir(directory)
        process.fork("named_by_a_file", [])
        assert process.wait() == 0, process.tail()
    assert process.log.read_text() == "of 0\nof 1\n"


def test_the_server_is_a_process_that_did_nothing_yet(server: forks.ForkServer, tmp_path: Path) -> None:
    server.fork(PROBE, ["ends"], tmp_path / "log", os.environ).wait()
    process = psutil.Process(server.pid)
    assert process.num_threads() == 1
    assert process.net_connections() == []
    assert process.children() == []


def test_it_is_told_when_the_server_has_died(server: forks.ForkServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = server.fork(PROBE, ["waits"], log, os.environ)
    os.kill(server.pid, signal.SIGKILL)
    assert child.wait(20) == -signal.SIGKILL
    said = f"the fork server, process {server.pid}, ended with status -9"
    assert f"This process was killed by the test: {said}" in log.read_text()
    with pytest.raises(forks.ForkServerDied, match=said):
        server.fork(PROBE, ["ends"], log, os.environ)


def test_a_server_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    server = forks.ForkServer()
    try:
        with pytest.raises(forks.ForkServerDied, match=r"ended with status 1\n(.*\n)*.*encodings"):
            server.fork(PROBE, ["ends"], tmp_path / "log", os.environ)
    finally:
        server.close()


async def test_it_ends_with_the_test_process() -> None:
    server = forks.ForkServer()
    process = psutil.Process(server.pid)
    server.close()
    assert not process.is_running()
