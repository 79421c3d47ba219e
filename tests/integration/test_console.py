"""The console of a real cluster: calls by way of gateways, other leaders, other incarnations, no Redis."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.cluster import Cluster, ClusterNode
from tests.support.console import TOKEN, ask, bearer, get
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, raw_worker

OPTIONS = {"console": "on", "console-port": "0", "lease-ttl": "1", "lease-interval": "0.2"}


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    """Two coordinators, each with a console on a port of its own."""
    env = {"III_CLUSTER_CONSOLE_TOKENS": TOKEN}
    return make_cluster(gateways=1, shards=1, coordinators=2, options=OPTIONS, env=env)


def console(node: ClusterNode) -> int:
    return node.ports["console"]


async def read(node: ClusterNode, path: str) -> Any:
    answer = await get(console(node), path)
    assert answer.status == 200, answer
    return json.loads(answer.body)


async def change(node: ClusterNode, method: str, path: str, body: object = None) -> Any:
    """Status and answer."""
    answer = await ask(console(node), method, path, json.dumps(body or {}).encode(), **bearer())
    return answer.status, json.loads(answer.body)


async def overview(node: ClusterNode) -> Any:
    return await read(node, "/api/overview")


async def test_every_coordinator_shows_the_cluster_and_goes_on_whatever_happens(cluster: Cluster) -> None:
    first, second = cluster.coordinators
    [gateway] = cluster.gateways
    async with raw_worker(gateway.url, name="shown") as worker:
        await worker.register("shown::echo", lambda frame: {"got": frame["data"]})
        await worker.register("shown::bad", lambda _: CallFailed({"code": "E1", "message": "no good"}))
        await worker.flush()
        for node in (first, second):
            await _reads(node, cluster)
            await _writes(node)
        await _audited(first)
        await _live(second)
        await _other_leader_and_incarnation(cluster)
    await _no_redis(cluster)


async def _reads(node: ClusterNode, cluster: Cluster) -> None:
    session = await read(node, "/api/session")
    assert (session["cluster"], session["node"]) == ("test", node.id)
    assert (session["writable"], session["tokens"]) == (False, True)
    assert session["ports"]["worker"] == cluster.gateways[0].ports["worker"]
    answer = await get(console(node), "/api/session", **bearer())
    assert json.loads(answer.body)["writable"]

    async def everybody_has_answered() -> Any:
        rows = (await overview(node))["nodes"]
        return {row["id"] for row in rows if row["ready"]} == {one.id for one in cluster.nodes}

    await eventually(everybody_has_answered)
    functions = (await read(node, "/api/functions"))["functions"]
    assert {"shown::echo", "shown::bad"} == {row["function_id"] for row in functions}
    assert not {"request_format", "response_format"} & functions[0].keys()

    async def counted() -> Any:
        return (await overview(node))["totals"]["functions"] == len(functions)

    await eventually(counted)
    every = (await read(node, "/api/functions?internal=1"))["functions"]
    assert {"shown::echo", "state::set", "engine::workers::list"} <= {row["function_id"] for row in every}
    assert "traces" in await read(node, "/api/traces?name=x&status=error")
    detail = await read(node, "/api/functions/default/shown%3A%3Aecho")
    assert detail["function"]["worker_name"] == "shown"
    assert [row["name"] for row in (await read(node, "/api/workers"))["workers"]] == ["shown"]
    for path in ("triggers", "trigger-types", "queues", "streams", "states"):
        await read(node, f"/api/{path}")
    assert (await read(node, "/_console/status"))["workers"] == 1
    for path in ("functions", "triggers", "workers", "adapters", "states/groups", "streams/list", "queues", "dlq"):
        await read(node, f"/_console/{path}")


async def _writes(node: ClusterNode) -> None:
    status, answer = await change(node, "POST", "/api/invoke", {"function_id": "shown::echo", "data": {"n": 1}})
    assert (status, answer.get("result")) == (200, {"got": {"n": 1}}), answer
    assert len(answer["trace_id"]) == 32
    status, answer = await change(node, "POST", "/api/invoke", {"function_id": "shown::bad"})
    assert (status, answer["error"]) == (502, {"code": "E1", "message": "no good"})
    status, answer = await change(node, "POST", "/api/invoke", {"function_id": "shown::none"})
    assert (status, answer["error"]["code"]) == (502, "function_not_found")
    assert await change(node, "PUT", "/api/states/a%2Fb/k", {"value": 5}) == (200, {"old_value": None, "new_value": 5})
    assert await read(node, "/api/states/a%2Fb") == {"items": [5], "count": 1}
    assert await read(node, "/api/states/a%2Fb/k") == {"value": 5}
    answer = await ask(console(node), "DELETE", "/_console/states/a%2Fb/item/k", None, **bearer())
    assert answer.status == 200
    assert await read(node, "/api/states/a%2Fb/k") == {"value": None}
    assert await change(node, "POST", "/api/queues/default/redrive") == (200, {"queue": "default", "redriven": 0})
    status, answer = await change(node, "POST", "/_console/invoke", {"function_id": "shown::echo", "input": "hidden"})
    assert (status, answer) == (200, {"got": "hidden"})
    status, answer = await change(node, "POST", "/_console/invoke", {"function_id": "shown::bad"})
    assert (status, answer) == (502, {"error": "no good"})
    assert (await ask(console(node), "POST", "/_console/invoke", b"{}")).status == 401


async def _audited(node: ClusterNode) -> None:
    log = node.log.read_text()
    assert "action=console_invoke function=shown::echo address=127.0.0.1 outcome=ok" in log
    assert "action=console_invoke function=shown::bad address=127.0.0.1 outcome=E1" in log
    assert "action=console_state_set target=a/b " in log
    assert "hidden" not in log
    assert TOKEN not in log


async def _live(node: ClusterNode) -> None:
    async with connect(f"ws://127.0.0.1:{console(node)}/live", proxy=None) as socket:
        await socket.send(json.dumps({"watch": ["overview", "functions", "queues"]}))
        topics: set[str] = set()
        while topics != {"overview", "functions", "queues"}:
            heard = json.loads(await asyncio.wait_for(socket.recv(), 20))
            assert "data" in heard, heard
            topics.add(heard["topic"])


async def _other_leader_and_incarnation(cluster: Cluster) -> None:
    """The leader is paused until it was declared dead, then it joins anew: its console is the same one."""
    leader = (await overview(cluster.coordinators[0]))["leader"]
    paused = next(node for node in cluster.coordinators if node.id == leader)
    standby = next(node for node in cluster.coordinators if node is not paused)
    points = len((await overview(paused))["series"]["t"])
    paused.pause()

    async def standby_leads() -> Any:
        marks = {(mark["kind"], mark["node"]) for mark in (await overview(standby))["marks"]}
        return {("leader", standby.id), ("lost", paused.id)} <= marks

    await eventually(standby_leads)
    assert (await overview(standby))["leader"] == standby.id
    paused.resume()

    async def is_back() -> Any:
        page = await overview(paused)
        ready = {row["id"] for row in page["nodes"] if row["ready"]}
        return page["node"] == f"{paused.id}.2" and {page["node"], cluster.gateways[0].id} <= ready

    await eventually(is_back)
    assert len((await overview(paused))["series"]["t"]) >= points
    await _writes(paused)
    await _live(paused)


async def _no_redis(cluster: Cluster) -> None:
    """The page goes on and says so; nothing hangs."""
    node = cluster.coordinators[0]
    cluster.valkey.kill()

    async def is_down() -> Any:
        return not (await overview(node))["redis"]["up"]

    await eventually(is_down)
    answer = await get(console(node), "/api/functions")
    assert (answer.status, answer.code) == (503, "unavailable")
    cluster.valkey.start()

    async def is_up() -> Any:
        return (await get(console(node), "/api/functions")).status == 200

    await eventually(is_up, within=30)
    kinds = [mark["text"] for mark in (await overview(node))["marks"] if mark["kind"] == "redis"]
    assert kinds[:1] == ["Redis cannot be reached"]
