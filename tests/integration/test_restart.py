"""`iii-cluster restart` next to a real `iii-cluster up`, and what may come in between."""

import asyncio
import re
import signal
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.up import MakeUp, gone, run


async def test_all_at_once_everything_but_the_data_is_new(make_up: MakeUp) -> None:
    up = await make_up().ready()
    before, [valkey] = up.node_ids, [process for process in up.family() if "valkey-server" in process.name()]
    done = await run("restart", "--data-dir", str(up.data_dir))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["gateway-1", "shard-1", "shard-2", "coordinator-1"]
    assert lines[-1].startswith("restarted 4 processes in ")
    assert {line.split()[1] for line in lines[:-1]} == before
    assert {line.split()[3] for line in lines[:-1]} == up.node_ids
    assert valkey.is_running()
    assert up.stop() == 0


async def test_an_interrupt_of_up_ends_a_restart_and_everything_else(make_up: MakeUp) -> None:
    up = await make_up("--shards", "3").ready()
    restarting = asyncio.create_task(run("restart", "--rolling", "--data-dir", str(up.data_dir)))
    await eventually(lambda: up.find(r"(coordinator-1 is now)"), within=30)
    family = up.family()
    up.child.send_signal(signal.SIGINT)
    assert up.wait(60) == 0, up.tail()
    assert gone(family)
    done = await restarting
    assert (done.returncode, done.stderr) == (1, "error: `iii-cluster up` is stopping\n")
    assert "killed" not in up.log.read_text()


async def test_a_second_restart_at_the_same_time_is_refused(make_up: MakeUp) -> None:
    up = await make_up("--shards", "1").ready()
    first = asyncio.create_task(run("restart", "--rolling", "--data-dir", str(up.data_dir)))
    await eventually(lambda: up.find("(rolling restart)"))
    second = await run("restart", "--data-dir", str(up.data_dir))
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == "error: a restart is under way already\n"
    assert (await first).returncode == 0
    assert up.stop() == 0


async def test_a_replacement_that_does_not_start_leaves_the_old_process_and_says_why(
    make_up: MakeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    up = await make_up("--shards", "1").ready()
    before = up.node_ids
    (tmp_path / "broken" / "shard").mkdir(parents=True)
    (tmp_path / "broken" / "shard" / "__init__.py").write_text("")
    (tmp_path / "broken" / "shard" / "service.py").write_text("raise SystemError('broken on purpose')\n")
    done = await run("restart", "--rolling", "--data-dir", str(up.data_dir))
    assert done.returncode == 1
    assert re.fullmatch(r"coordinator-1 .*\n", done.stdout)
    error, *tail = done.stderr.splitlines()
    assert error == "error: shard-1 ended with exit code 1 before it was ready; the old process goes on"
    assert tail[-1] == "    SystemError: broken on purpose"
    after = up.node_ids
    assert {id for id in before if not id.startswith("coordinator")} <= after
    assert up.stop() == 0
