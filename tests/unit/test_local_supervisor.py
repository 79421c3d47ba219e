import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from iii_cluster.local.child import ChildSpec
from iii_cluster.local.keeper import FIRST_DELAY, HEALTHY_AFTER, LONGEST_DELAY, Backoff, StartFailed
from tests.support.eventually import eventually
from tests.support.stand_in import Stage, runs


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
    await stage.supervisor.start([stage.spec("deaf", "stubborn")], 30)
    assert await stage.stop(0.3) == ["deaf"]
    assert stage.ended() == []
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


async def test_a_child_that_ends_with_status_zero_unasked_was_drained_and_stays_away(stage: Stage) -> None:
    [first, other] = await stage.supervisor.start([stage.spec("a"), stage.spec("b")], 30)
    os.kill(first.pid, signal.SIGTERM)
    await eventually(lambda: stage.said)
    assert stage.said == ["a was drained; `iii-cluster restart` starts it again"]
    assert stage.running() == [other.pid]
    assert [keeper.name for keeper in stage.supervisor.roles() if not keeper.drained] == ["b"]


async def test_a_successor_serves_before_its_predecessor_is_told_to_end(stage: Stage) -> None:
    [first, _] = await stage.supervisor.start([stage.spec("old"), stage.spec("other")], 30)
    [old, other] = stage.supervisor.keepers
    successor = await stage.supervisor.replace(old, stage.spec("new"), 30, 30)
    assert not successor.killed
    assert stage.ended() == ["old"]
    assert first.pid not in stage.running()
    assert successor.ready.pid in stage.running()
    assert [keeper.name for keeper in stage.supervisor.keepers] == ["new", "other"]
    assert stage.supervisor.keepers[1] is other
    assert stage.said == []


async def test_a_successor_that_fails_leaves_the_old_one_alone(stage: Stage) -> None:
    [first] = await stage.supervisor.start([stage.spec("a")], 30)
    [old] = stage.supervisor.keepers
    with pytest.raises(StartFailed, match="bad ended with exit code 3 before it was ready") as caught:
        await stage.supervisor.replace(old, stage.spec("bad", "fails"), 30, 30)
    assert caught.value.tail == ["hello from bad", "it cannot be"]
    assert stage.supervisor.keepers == [old]
    assert stage.running() == [first.pid]
    os.kill(first.pid, signal.SIGKILL)  # it is still looked after
    await eventually(lambda: len(stage.said) == 2)


async def test_a_successor_that_stays_silent_is_ended(stage: Stage) -> None:
    [first] = await stage.supervisor.start([stage.spec("a")], 30)
    [old] = stage.supervisor.keepers
    with pytest.raises(StartFailed, match=r"quiet: not ready within 0\.3 s"):
        await stage.supervisor.replace(old, stage.spec("quiet", "silent"), 0.3, 30)
    assert stage.running() == [first.pid]


async def test_a_successor_that_stays_silent_is_asked_why_before_it_is_ended(stage: Stage) -> None:
    running: list[list[int]] = []

    async def explain(spec: ChildSpec) -> str:
        running.append(stage.running())
        return f"{spec.name} waits for something"

    stage.supervisor.explain = explain
    await stage.supervisor.start([stage.spec("a")], 30)
    with pytest.raises(StartFailed, match=r"^quiet: not ready within 0\.3 s: quiet waits for something$"):
        await stage.supervisor.replace(stage.supervisor.keepers[0], stage.spec("quiet", "silent"), 0.3, 30)
    assert len(running[0]) == 2


async def test_a_predecessor_that_does_not_end_is_killed(stage: Stage) -> None:
    await stage.supervisor.start([stage.spec("deaf", "stubborn")], 30)
    successor = await stage.supervisor.replace(stage.supervisor.keepers[0], stage.spec("new"), 30, 0.3)
    assert successor.killed
    assert stage.running() == [successor.ready.pid]


async def test_a_predecessor_that_is_dead_just_now_is_not_started_again(stage: Stage) -> None:
    [first] = await stage.supervisor.start([stage.spec("old")], 30)
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: stage.said)
    successor = await stage.supervisor.replace(stage.supervisor.keepers[0], stage.spec("new"), 30, 30)
    assert stage.running() == [successor.ready.pid]


async def test_a_stop_during_a_replacement_ends_both_and_asks_each_once(stage: Stage) -> None:
    await stage.supervisor.start([stage.spec("old", "counts")], 30)
    replacing = asyncio.create_task(
        stage.supervisor.replace(stage.supervisor.keepers[0], stage.spec("new"), 30, 30),
    )
    await eventually(lambda: ("old", "asked") in stage.output)
    replacing.cancel()
    await asyncio.gather(replacing, return_exceptions=True)
    assert "old" in await stage.stop(1)
    assert stage.output.count(("old", "asked")) == 1
    assert stage.running() == []


async def test_all_are_ended_before_any_is_started_again(stage: Stage) -> None:
    specs = [stage.spec("late", stage=1), stage.spec("early", stage=0)]
    before = await stage.supervisor.start(specs, 30)
    successors = await stage.supervisor.renew(stage.supervisor.roles(), 30, 30)
    assert stage.ended() == ["early", "late"]
    assert [one.ready.id for one in successors] == ["late-id", "early-id"]
    assert sorted(one.ready.pid for one in successors) == stage.running()
    assert not {one.pid for one in before} & set(stage.running())


async def test_a_child_that_does_not_start_again_is_tried_until_it_does(stage: Stage) -> None:
    await stage.supervisor.start([stage.spec("a"), stage.spec("b")], 30)
    script = stage.script.read_text()
    stage.script.write_text("import sys\nif sys.argv[1] == 'a':\n    sys.exit(1)\n" + script)
    with pytest.raises(StartFailed, match="ended with exit code"):
        await stage.supervisor.renew(stage.supervisor.roles(), 30, 30)
    stage.script.write_text(script)
    await eventually(lambda: any(text.startswith("a is back as a-id") for text in stage.said))


SUPERVISOR = """
import asyncio, os, sys
from iii_cluster.local.child import ChildSpec
from iii_cluster.local.supervisor import Supervisor
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
