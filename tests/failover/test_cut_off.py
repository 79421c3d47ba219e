"""Processes that are cut off longer than their lease: the others go on, and they come back by themselves."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support import admin
from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.gateway_module import ENVIRONMENT, EVENT
from tests.support.proxy import Proxy
from tests.support.raw import RawWorker, echo, known, raw_worker


def _map(node: ClusterNode) -> dict[str, Any]:
    page: dict[str, Any] = admin.get(f"{node.admin_url}/cluster")[1]
    return page


def _members(node: ClusterNode) -> set[str]:
    return {member["id"] for member in _map(node)["nodes"]}


async def _cut_off(node: ClusterNode, observer: ClusterNode) -> str:
    """Stop the process until the others have given it up, then let it go on; returns the id it comes back under."""
    name, incarnation = _identity(node)
    node.pause()
    await eventually(lambda: name not in _members(observer))
    node.resume()

    def back() -> str:
        successor, now = _identity(node)
        ready = now > incarnation and successor in _members(observer) and _reasons(node) == []
        return successor if ready else ""

    successor: str = await eventually(back)
    assert name not in _members(observer)
    return successor


def _identity(node: ClusterNode) -> tuple[str, int]:
    status = admin.get(f"{node.admin_url}/status")[1]
    return status["id"], status["incarnation"]


async def _calls(caller: RawWorker, *functions: str) -> None:
    for function in functions:
        assert (await caller.call(function, {"f": function}, within=20))["f"] == function


async def test_a_gateway_that_was_cut_off_comes_back_with_its_sockets(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        await callee.register("kept::there", echo)
        await caller.register("kept::here", echo)
        await known(caller, "kept::there", "kept::here")
        await _calls(caller, "kept::there")
        await _calls(callee, "kept::here")
        for _ in range(2):
            await _cut_off(there, here)
            await known(caller, "kept::there", "kept::here")
            await _calls(caller, "kept::there")
            await _calls(callee, "kept::here")
        assert not callee.closed
        await callee.register("kept::new", echo)
        await known(caller, "kept::new")
        await _calls(caller, "kept::new")


async def test_modules_of_a_gateway_that_was_cut_off_go_on(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster(env=ENVIRONMENT)
    here, there = cluster.gateways
    async with raw_worker(here.url) as worker, raw_worker(there.url) as asking:

        async def fires(*triggers: str) -> None:
            async def fired() -> bool:
                return bool(await asking.call("probe::fire", {}, within=20) == list(triggers))

            await eventually(fired)

        async def trigger(name: str) -> None:
            await worker.send("registertrigger", id=name, trigger_type=EVENT, function_id="f", config={"topic": "a"})

        await trigger("kept")
        await fires("kept")
        assert await asking.call("probe::serves", {"function": "new::f"}) is False
        await _cut_off(there, here)
        await trigger("new")
        await fires("kept", "new")
        await worker.register("new::f")

        async def served() -> bool:
            return bool(await asking.call("probe::serves", {"function": "new::f"}, within=20))

        await eventually(served)
        assert await asking.call("probe::count", {"names": ["n"]}) == [1]


async def test_calls_to_a_gateway_that_is_cut_off_end(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        await callee.register("slow::f")
        await known(caller, "slow::f")
        call = await caller.begin("slow::f", {})
        taken = await callee.expect("invokefunction", function_id="slow::f")
        await _cut_off(there, here)
        answer = await caller.result(call, within=20)
        assert answer["error"]["code"] == "invocation_stopped"
        await callee.answer(taken, {"too": "late"})
        await callee.flush()
        await caller.nothing("invocationresult", invocation_id=call)


async def test_workers_of_a_gateway_without_redis_stay_and_are_back_when_it_returns(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=1)
    here = cluster.gateways[0]
    async with Proxy(cluster.valkey.port) as proxy:
        there = await asyncio.to_thread(cluster.add_gateway, proxy.url)
        async with raw_worker(there.url) as callee, raw_worker(there.url) as near, raw_worker(here.url) as caller:
            await callee.register("kept::f", echo)
            await known(caller, "kept::f")
            await _calls(caller, "kept::f")
            await _calls(near, "kept::f")
            before = _identity(there)[0]
            with _closed_port() as nowhere:
                proxy.target = nowhere
                proxy.reset()
                await eventually(lambda: before not in _members(here))
                await eventually(lambda: "fenced: its lease ran out" in _reasons(there))
                await _calls(near, "kept::f")
            proxy.target = cluster.valkey.port
            await eventually(lambda: _identity(there)[0] in _members(here) - {before})
            await known(caller, "kept::f")
            await _calls(caller, "kept::f")
            await _calls(near, "kept::f")
            assert not callee.closed
            assert not near.closed
        await asyncio.to_thread(there.stop)


async def test_a_shard_that_was_cut_off_serves_again(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    functions = [f"found::f{n}" for n in range(20)]
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        for function in functions:
            await callee.register(function, echo)
        await known(caller, *functions)
        first, second = own_cluster.shards
        successor = await _cut_off(first, here)
        second.kill()
        await eventually(lambda: set(_map(here)["slots"]) == {successor})
        await _calls(caller, *functions)
        await known(caller, *functions)


async def test_a_leader_that_was_cut_off_stands_by_and_leads_again(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=1, shards=1, coordinators=2)
    observer = cluster.gateways[0]
    leader, standby = cluster.coordinators
    if _map(observer)["leader"] != leader.id:
        leader, standby = standby, leader
    successor = await _cut_off(leader, observer)
    assert _map(observer)["leader"] == standby.id
    standby.kill()
    await eventually(lambda: _map(observer)["leader"] == successor)
    cluster.add_gateway()


async def test_a_node_that_is_fenced_is_alive_but_not_ready(own_cluster: Cluster) -> None:
    before = [_identity(node) for node in own_cluster.nodes]
    own_cluster.valkey.pause()
    for node in own_cluster.nodes:
        await eventually(lambda n=node: "fenced: its lease ran out" in _reasons(n))  # type: ignore[misc]
        assert admin.get(f"{node.admin_url}/healthz")[0] == 200
    own_cluster.valkey.resume()
    for node in own_cluster.nodes:
        await eventually(lambda n=node: _reasons(n) == [])  # type: ignore[misc]
    assert [_identity(node) for node in own_cluster.nodes] == before


async def test_a_node_that_has_nobody_to_join_can_be_stopped(own_cluster: Cluster) -> None:
    own_cluster.coordinators[0].kill()
    for node in (own_cluster.shards[0], own_cluster.gateways[0]):
        before = _identity(node)[1]
        own_cluster.valkey.execute("ZADD", "{test}:gone", 2**52, node.id)
        await eventually(lambda n=node: "not in the cluster map" in _reasons(n))  # type: ignore[misc]
        assert _identity(node)[1] > before
        assert node.stop() == 0
    for node in own_cluster.nodes:  # in whose map the coordinator still is, so that they would wait for it
        node.kill()


def _reasons(node: ClusterNode) -> list[str]:
    status, page = admin.get(f"{node.admin_url}/readyz")
    assert status == (503 if page["reasons"] else 200)
    reasons: list[str] = page["reasons"]
    return reasons


@contextmanager
def _closed_port() -> Iterator[int]:
    """A port that refuses connections: bound, but not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
