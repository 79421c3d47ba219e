import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from iii_cluster.cli.control import Event, Finished, Replaced, Restart
from iii_cluster.cli.restarts import Restarts
from iii_cluster.config.settings import Settings
from iii_cluster.local.child import ChildSpec
from tests.support.eventually import eventually
from tests.support.stand_in import Stage

SETTINGS = Settings(metrics_port=0, admin_port=0)


def restarts(stage: Stage, settings: Settings = SETTINGS, stop_within: float = 30) -> Restarts:
    return Restarts(stage.supervisor, settings, stage.said.append, start_within=30, stop_within=stop_within)


async def run(stage: Stage, rolling: bool, stop_within: float = 30) -> tuple[list[Replaced], Finished]:
    told: list[Event] = []
    finished = await restarts(stage, stop_within=stop_within).restart(Restart(rolling), told.append)
    return [event for event in told if isinstance(event, Replaced)], finished


async def foreign() -> bool:
    return True


def three_roles(stage: Stage) -> list[ChildSpec]:
    """Stages as the roles have them, and a program that is none of ours."""
    database = msgspec.structs.replace(stage.spec("valkey", stage=3), argv=("sleep", "600"), answers=foreign)
    return [database, stage.spec("gateway-1"), stage.spec("shard-1", stage=1), stage.spec("coordinator-1", stage=2)]


async def test_a_rolling_restart_replaces_coordinators_then_shards_then_gateways(stage: Stage) -> None:
    before = await stage.supervisor.start(three_roles(stage), 30)
    told, finished = await run(stage, rolling=True)
    assert finished == Finished()
    assert [one.name for one in told] == ["coordinator-1", "shard-1", "gateway-1"] == stage.ended()
    assert sorted(one.pid for one in told) == stage.running()
    assert not {one.pid for one in told} & {one.pid for one in before}
    assert stage.supervisor.children[0].running  # the database is left alone
    assert [child.spec.name for child in stage.supervisor.children] == [
        "valkey",
        "gateway-1",
        "shard-1",
        "coordinator-1",
    ]


async def test_a_restart_of_all_at_once_leaves_the_database_alone(stage: Stage) -> None:
    before = await stage.supervisor.start(three_roles(stage), 30)
    told, finished = await run(stage, rolling=False)
    assert finished == Finished()
    assert stage.ended() == ["gateway-1", "shard-1", "coordinator-1"]
    assert sorted(one.name for one in told) == ["coordinator-1", "gateway-1", "shard-1"]
    assert not {one.pid for one in told} & {one.pid for one in before}


async def test_a_replacement_that_does_not_start_ends_the_restart_with_its_last_lines(stage: Stage) -> None:
    before = await stage.supervisor.start([stage.spec("gateway-1"), stage.spec("shard-1", stage=1)], 30)
    stage.script.write_text("import sys; sys.exit('broken on purpose')")
    told, finished = await run(stage, rolling=True)
    assert told == []
    assert finished.error == "shard-1 ended with exit code 1 before it was ready; the old process goes on"
    assert finished.tail == ("broken on purpose",)
    assert stage.running() == sorted(one.pid for one in before)


async def test_a_process_that_did_not_stop_in_time_is_named(stage: Stage) -> None:
    await stage.supervisor.start([stage.spec("gateway-1", "stubborn")], 30)
    told, finished = await run(stage, rolling=True, stop_within=0.3)
    assert [(one.name, one.killed) for one in told] == [("gateway-1", True)]
    assert finished.error == "did not stop in time and were killed: gateway-1"
    for child in stage.supervisor.children:
        child.kill()


@pytest.mark.parametrize("rolling", [True, False])
async def test_what_was_drained_is_started_again(stage: Stage, rolling: bool) -> None:
    [_, drained] = await stage.supervisor.start([stage.spec("gateway-1"), stage.spec("gateway-2")], 30)
    os.kill(drained.pid, signal.SIGTERM)
    await eventually(lambda: "gateway-2 was drained; `iii-cluster restart` starts it again" in stage.said)
    told, finished = await run(stage, rolling)
    assert finished == Finished()
    assert [(one.name, one.old, one.new) for one in told] == [
        ("gateway-1", "gateway-1-id", "gateway-1-id"),
        ("gateway-2", "", "gateway-2-id"),
    ]
    assert sorted(one.pid for one in told) == stage.running()
    assert not any(keeper.drained for keeper in stage.supervisor.roles())


async def test_another_process_that_dies_meanwhile_comes_back_as_usual(stage: Stage) -> None:
    [gateway, _] = await stage.supervisor.start(
        [stage.spec("gateway-1"), stage.spec("shard-1", "counts", stage=1)],
        30,
    )
    told: list[Event] = []
    restarting = asyncio.create_task(restarts(stage).restart(Restart(rolling=True), told.append))
    await eventually(lambda: ("shard-1", "asked") in stage.output)
    os.kill(gateway.pid, signal.SIGKILL)
    await eventually(lambda: any(text.startswith("gateway-1 is back as") for text in stage.said))
    for child in stage.supervisor.children:
        if child.spec.name == "shard-1":
            child.kill()
    finished = await restarting
    assert finished == Finished()
    assert [one.name for one in told if isinstance(one, Replaced)] == ["shard-1", "gateway-1"]


async def test_a_configuration_file_that_changed_is_told(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("cluster: {}")
    asked = Restarts(stage.supervisor, SETTINGS, stage.said.append, start_within=30, stop_within=30, config_file=file)
    assert await asked.restart(Restart(), lambda _event: None) == Finished()
    os.utime(file, ns=(1, 1))
    finished = await asked.restart(Restart(), lambda _event: None)
    assert (finished.error, finished.note.partition(" has changed since")[0]) == ("", str(file))
    file.unlink()
    assert (await asked.restart(Restart(), lambda _event: None)).note
