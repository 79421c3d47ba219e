import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from iii_cluster.cli.child import ChildSpec
from iii_cluster.cli.supervisor import FIRST_DELAY, HEALTHY_AFTER, LONGEST_DELAY, Backoff, StartFailed, Supervisor
from tests.support.eventually import eventually

# Says that it is ready, tells on SIGTERM or when its lifeline ends, and ends.
STAND_IN = """
import json, os, select, signal, sys
name, journal, mode, ready_fd, lifeline = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[5]), int(sys.argv[7])
print("hello from", name, flush=True)
if mode == "fails":
    print("it cannot be", file=sys.stderr)
    sys.exit(3)
def end(*_):
    with open(journal, "a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else end)
if mode != "silent":
    ready = {"id": name + "-id", "role": "stand-in", "pid": os.getpid(), "ports": {"admin": 1}}
    os.write(ready_fd, json.dumps(ready).encode() + b"\\n")
    os.close(ready_fd)
select.select([lifeline], [], [])
end()
"""


class Stage:
    """A supervisor whose children are stand-ins, and what was said."""

    def __init__(self, directory: Path) -> None:
        self.script = directory / "stand_in.py"
        self.script.write_text(STAND_IN)
        self.journal = directory / "journal"
        self.said: list[str] = []
        self.output: list[tuple[str, str]] = []
        self.supervisor = Supervisor(self.said.append, lambda name, line: self.output.append((name, line)))
        self.stopped = False

    def spec(self, name: str, mode: str = "serves", stage: int = 0) -> ChildSpec:
        argv = (sys.executable, str(self.script), name, str(self.journal), mode)
        return ChildSpec(name=name, argv=argv, env=dict(os.environ), stage=stage)

    async def stop(self, within: float = 10.0) -> list[str]:
        self.stopped = True
        return await self.supervisor.stop(within)

    def ended(self) -> list[str]:
        """Names of the children that ended as asked, in order."""
        return self.journal.read_text().split() if self.journal.exists() else []

    def running(self) -> list[int]:
        """Process ids of stand-ins that run now."""
        family = psutil.Process().children()
        return sorted(child.pid for child in family if runs(child) and str(self.script) in child.cmdline())


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    if not stage.stopped:
        await stage.stop()


def runs(process: psutil.Process) -> bool:
    """A zombie that nobody reaps has ended."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def test_start_returns_when_every_child_said_it_is_ready(stage: Stage) -> None:
    ready = await stage.supervisor.start([stage.spec("a"), stage.spec("b")], 30)
    assert [(one.id, one.role, one.ports) for one in ready] == [
        ("a-id", "stand-in", {"admin": 1}),
        ("b-id", "stand-in", {"admin": 1}),
    ]
    assert sorted(one.pid for one in ready) == stage.running()
    assert ("a", "hello from a") in stage.output


async def test_nothing_to_start_is_started_at_once(stage: Stage) -> None:
    assert await stage.supervisor.start([], 1) == []


async def test_a_child_that_fails_fails_the_start_and_its_last_lines_are_told(stage: Stage) -> None:
    with pytest.raises(StartFailed, match="bad ended with exit code 3 before it was ready") as caught:
        await stage.supervisor.start([stage.spec("good", "silent"), stage.spec("bad", "fails")], 30)
    assert caught.value.tail == ["hello from bad", "it cannot be"]
    await stage.stop()
    assert stage.running() == []
    assert stage.said == []


async def test_a_child_that_stays_silent_fails_the_start(stage: Stage) -> None:
    with pytest.raises(StartFailed, match=r"quiet: not ready within 0\.3 s"):
        await stage.supervisor.start([stage.spec("quiet", "silent")], 0.3)


async def test_a_program_that_does_not_exist_fails_the_start(stage: Stage) -> None:
    spec = ChildSpec(name="none", argv=("/nonexistent/program",), env={}, stage=0)
    with pytest.raises(StartFailed, match=r"none cannot be started: .*No such file"):
        await stage.supervisor.start([spec], 30)


async def test_a_child_that_dies_is_started_again(stage: Stage) -> None:
    [first] = await stage.supervisor.start([stage.spec("a")], 30)
    os.kill(first.pid, signal.SIGKILL)
    [child] = stage.supervisor.children
    second = await eventually(lambda: child.ready if child.ready and child.ready.pid != first.pid else None)
    await eventually(lambda: len(stage.said) == 2)
    assert stage.said == [
        "a was killed by signal 9; starting it again in 0.2 s",
        f"a is back as a-id, process {second.pid}",
    ]
    assert stage.running() == [second.pid]


async def test_a_stop_between_two_lives_of_a_child_starts_nothing(stage: Stage) -> None:
    [first] = await stage.supervisor.start([stage.spec("a")], 30)
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: stage.said)
    assert await stage.stop() == []
    assert stage.running() == []


async def test_children_are_stopped_stage_by_stage(stage: Stage) -> None:
    specs = [stage.spec("last", stage=2), stage.spec("first", stage=0), stage.spec("middle", stage=1)]
    await stage.supervisor.start(specs[:1], 30)
    await stage.supervisor.start(specs[1:], 30)
    assert await stage.stop() == []
    assert stage.ended() == ["first", "middle", "last"]
    assert stage.running() == []


async def test_a_child_that_ignores_the_request_is_killed_and_named(stage: Stage) -> None:
    await stage.supervisor.start([stage.spec("deaf", "stubborn"), stage.spec("good")], 30)
    assert await stage.stop(0.3) == ["deaf"]
    assert stage.ended() == ["good"]
    assert stage.running() == []


async def test_an_impatient_operator_kills_everything_during_the_stop(stage: Stage) -> None:
    await stage.supervisor.start([stage.spec("deaf", "stubborn"), stage.spec("later", stage=1)], 30)
    stopping = asyncio.create_task(stage.stop(60))
    await asyncio.sleep(0)
    stage.supervisor.kill()
    await stopping
    assert stage.running() == []


async def test_a_cancelled_start_leaves_nothing_after_the_stop(stage: Stage) -> None:
    starting = asyncio.create_task(stage.supervisor.start([stage.spec("a", "silent")], 30))
    await eventually(lambda: ("a", "hello from a") in stage.output)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await stage.stop() == []
    assert stage.running() == []


async def test_children_do_not_get_the_terminals_interrupt(stage: Stage) -> None:
    [ready] = await stage.supervisor.start([stage.spec("a")], 30)
    assert os.getpgid(ready.pid) == ready.pid


async def test_no_descriptor_is_left_open(stage: Stage, tmp_path: Path) -> None:
    await stage.stop()
    await asyncio.to_thread(int)  # the loop's own helpers exist from here on
    before = psutil.Process().num_fds()
    second = Stage(tmp_path)
    [first] = await second.supervisor.start([second.spec("a")], 30)
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: len(second.said) == 2)
    await second.stop()
    assert psutil.Process().num_fds() == before


SUPERVISOR = """
import asyncio, os, sys
from iii_cluster.cli.child import ChildSpec
from iii_cluster.cli.supervisor import Supervisor
script, journal, pids = sys.argv[1:]
sleeper = os.path.join(os.path.dirname(pids), "sleeping")

async def asleep():
    return os.path.exists(sleeper)

async def main():
    env = dict(os.environ)
    supervisor = Supervisor(print, lambda name, line: None)
    own = ChildSpec(name="own", argv=(sys.executable, script, "own", journal, "serves"), env=env, stage=0)
    code = f"import time; open({sleeper!r}, 'w').close(); time.sleep(600)"
    foreign = ChildSpec(name="foreign", argv=(sys.executable, "-c", code), env=env, stage=1, answers=asleep)
    ready = await supervisor.start([own, foreign], 30)
    with open(pids + ".new", "w") as file:
        file.write(" ".join(str(one.pid) for one in ready))
    os.rename(pids + ".new", pids)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends foreign programs with their parent")
async def test_a_supervisor_killed_at_once_leaves_no_orphan(stage: Stage, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    argv = [sys.executable, "-c", SUPERVISOR, str(stage.script), str(stage.journal), str(pids)]
    process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL)
    try:
        await eventually(pids.exists)
        orphans = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
        assert len(orphans) == 2
    finally:
        process.kill()
        await process.wait()
    await eventually(lambda: not any(runs(orphan) for orphan in orphans))
    assert stage.ended() == ["own"]


def test_delays_double_up_to_the_limit_and_start_over_after_a_healthy_life() -> None:
    backoff = Backoff()
    delays = [backoff.after(1.0) for _ in range(8)]
    assert delays[:4] == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4, FIRST_DELAY * 8]
    assert delays[-1] == LONGEST_DELAY
    assert backoff.after(HEALTHY_AFTER) == FIRST_DELAY
