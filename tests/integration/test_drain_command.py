"""`iii-cluster drain` next to a real `iii-cluster up`."""

import json
from collections import Counter
from typing import Any

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.raw import known, raw_worker
from tests.support.up import MakeUp, command, gone, run


def admin_of(node: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{node['ports']['admin']}"


async def test_a_drained_gateway_leaves_and_is_not_started_again(make_up: MakeUp) -> None:
    up = await make_up("--gateways", "2").ready()
    leaving, staying = up.nodes("gateway")
    process = psutil.Process(leaving["pid"])
    done = await run("drain", leaving["id"], "--admin", admin_of(staying))
    assert (done.returncode, done.stdout) == (0, f"{leaving['id']} has left the cluster\n"), done.stderr
    assert done.stderr == f"{leaving['id']}: draining\n"
    assert [node["id"] for node in up.nodes("gateway")] == [staying["id"]]
    await eventually(lambda: gone([process]))
    await eventually(lambda: up.find(r"(gateway-\d was drained; `iii-cluster restart` starts it again)"))
    async with raw_worker(f"ws://127.0.0.1:{up.worker_port}") as worker:  # the port is served on
        await worker.register("late::answer", lambda frame: 42)
        await known(worker, "late::answer")
        assert await worker.call("late::answer") == 42
    assert up.stop() == 0


async def test_a_node_can_be_asked_for_itself(make_up: MakeUp) -> None:
    up = await make_up().ready()
    shard, other = up.nodes("shard")
    done = await run("drain", shard["id"], "--admin", admin_of(shard))
    assert (done.returncode, done.stdout) == (0, f"{shard['id']} has left the cluster\n"), done.stderr
    [left] = up.nodes("shard")
    assert (left["id"], left["slots"]) == (other["id"], 1024)
    assert up.stop() == 0


async def test_the_last_of_a_role_leaves_by_force_only_the_coordinator_even_from_a_map_nobody_writes(
    make_up: MakeUp,
) -> None:
    up = await make_up("--shards", "1").ready()
    [shard] = up.nodes("shard")
    for role, end in (("gateway", "has left the cluster"), ("coordinator", "has ended")):
        [node] = up.nodes(role)
        refused = await run("drain", node["id"], "--admin", admin_of(shard))
        assert (refused.returncode, "is the last" in refused.stderr) == (1, True), refused.stderr
        drained = await run("drain", node["id"], "--force", "--timeout", "5", "--admin", admin_of(shard))
        assert (drained.returncode, drained.stdout) == (0, f"{node['id']} {end}\n"), drained.stderr
        await eventually(lambda role=role: up.find(rf"({role}-1 was drained)"))  # type: ignore[misc]
    restarted = await run("restart", "--rolling", "--data-dir", str(up.data_dir))
    assert restarted.returncode == 0, restarted.stderr
    assert Counter(node["role"] for node in up.nodes()) == {"gateway": 1, "shard": 1, "coordinator": 1}
    assert up.stop() == 0


async def test_without_waiting_the_command_returns_and_the_node_leaves(make_up: MakeUp) -> None:
    up = await make_up("--gateways", "2").ready()
    leaving, staying = up.nodes("gateway")
    done = command("drain", leaving["id"], "--no-wait", "--admin", admin_of(staying))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{leaving['id']}: draining\n")
    await eventually(lambda: leaving["id"] not in {node["id"] for node in up.nodes()})
    assert up.stop() == 0


@pytest.mark.parametrize("wanted", ["shard", "nobody", "gateway-"])
async def test_what_names_no_single_node_is_refused(make_up: MakeUp, wanted: str) -> None:
    up = await make_up().ready()
    done = command("drain", wanted, "--admin", up.admin)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "choose one of: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(json.loads(command("status", "--json", "--admin", up.admin).stdout)["nodes"]) == 4
    assert up.stop() == 0
