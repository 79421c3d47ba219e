"""A gateway is killed: what was on it is released everywhere, the rest goes on."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.history import calling
from tests.support.raw import CallFailed, RawWorker, echo, known, raw_worker, workers_listed
from tests.support.reconnecting import Gate, reconnecting


async def _functions(worker: RawWorker) -> set[str]:
    return {row["function_id"] for row in (await worker.call("engine::functions::list", {}))["functions"]}


async def _watch_workers(worker: RawWorker) -> list[Any]:
    """Events of engine::workers-available from now on."""
    events: list[Any] = []
    await worker.register("watch::workers", lambda frame: events.append(frame["data"]))
    trigger = {"id": "watch-1", "trigger_type": "engine::workers-available", "function_id": "watch::workers"}
    await worker.send("registertrigger", **trigger, config=None)

    async def live() -> bool:
        rows = (await worker.call("engine::registered-triggers::list", {}))["registered_triggers"]
        return any(row["id"] == "watch-1" and row["state"] == "live" for row in rows)

    await eventually(live)
    return events


async def test_nothing_of_a_killed_gateway_survives_it(own_cluster: Cluster) -> None:
    doomed, safe = own_cluster.gateways
    async with raw_worker(safe.url) as observer, AsyncExitStack() as stack:
        events = await _watch_workers(observer)
        lost = await stack.enter_async_context(raw_worker(doomed.url, name="lost"))
        await lost.register("lost::f", echo)
        await lost.send("registertriggertype", id="lost-type", description="")
        await known(observer, "lost::f")
        await eventually(lambda: {"event": "worker_connected", "worker_id": lost.worker_id} in events)
        doomed.kill()

        async def gone() -> bool:
            types = (await observer.call("engine::triggers::list", {}))["triggers"]
            return (
                "lost::f" not in await _functions(observer)
                and "lost-type" not in {row["id"] for row in types}
                and lost.worker_id not in await workers_listed(observer)
            )

        await eventually(gone)
        gone_event = {"event": "worker_disconnected", "worker_id": lost.worker_id}
        await eventually(lambda: gone_event in events)
        with pytest.raises(CallFailed) as failure:
            await observer.call("lost::f", {})
        assert failure.value.code == "function_not_found"
        await observer.flush()
        assert events.count(gone_event) == 1


async def test_callers_waiting_on_a_killed_gateway_are_told(own_cluster: Cluster) -> None:
    doomed, safe = own_cluster.gateways
    async with raw_worker(safe.url) as caller, raw_worker(doomed.url) as callee:
        await callee.register("slow::f")
        await known(caller, "slow::f")
        call = await caller.begin("slow::f", {})
        await callee.expect("invokefunction", function_id="slow::f")
        doomed.kill()
        answer = await caller.result(call)
        assert answer["error"]["code"] == "invocation_stopped"
        assert doomed.id in answer["error"]["message"]


async def test_a_call_made_when_its_gateway_is_dead_already_goes_where_its_worker_came_back(
    own_cluster: Cluster,
) -> None:
    doomed, safe = own_cluster.gateways
    async with raw_worker(safe.url) as caller, reconnecting(doomed.url, safe.url) as callee:
        await callee.register("steady::f", echo)
        await known(caller, "steady::f")
        assert await caller.call("steady::f", {"n": 0})  # its route is known
        doomed.kill()
        await asyncio.to_thread(doomed.wait)
        await eventually(lambda: not any(doomed.id in client["name"] for client in own_cluster.valkey.clients()))
        calls = [await caller.begin("steady::f", {"n": n}) for n in range(1, 4)]
        assert [(await caller.result(call)).get("result", {}).get("n") for call in calls] == [1, 2, 3]


async def test_calls_between_other_workers_do_not_notice(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=3)
    doomed, one, two = cluster.gateways
    async with raw_worker(one.url) as caller, raw_worker(two.url) as callee, raw_worker(doomed.url) as other:
        await callee.register("steady::f", echo)
        await other.register("other::f", echo)
        await known(caller, "steady::f", "other::f")
        async with calling(caller, "steady::f") as history:
            await history.more()
            doomed.kill()
            await eventually(lambda: other.closed)
            await eventually(lambda: _gone(caller, other.worker_id))
            await history.more()
    assert not history.failed
    assert not history.mixed_up


async def _gone(observer: RawWorker, worker_id: str) -> bool:
    return worker_id not in await workers_listed(observer)


async def test_a_stopped_gateway_sends_its_workers_elsewhere_with_1012(own_cluster: Cluster) -> None:
    stopping, safe = own_cluster.gateways
    async with raw_worker(safe.url) as observer, raw_worker(stopping.url) as worker:
        await worker.register("moving::f", echo)
        await known(observer, "moving::f")
        stopping.terminate()
        await worker.wait_closed()
        assert worker.socket.close_code == 1012
        assert stopping.wait() == 0
        await eventually(lambda: _gone(observer, worker.worker_id))


async def test_every_lost_worker_is_told_of_once(own_cluster: Cluster) -> None:
    doomed, safe = own_cluster.gateways
    async with raw_worker(safe.url) as observer, AsyncExitStack() as stack:
        events = await _watch_workers(observer)
        lost = [await stack.enter_async_context(raw_worker(doomed.url, name=f"lost-{n}")) for n in range(20)]
        came, gone = (
            [{"event": event, "worker_id": worker.worker_id} for worker in lost]
            for event in ("worker_connected", "worker_disconnected")
        )
        await eventually(lambda: all(event in events for event in came))
        doomed.kill()
        await eventually(lambda: all(event in events for event in gone))
        await observer.flush()
        assert [events.count(event) for event in gone] == [1] * len(gone)


async def test_a_replicated_function_goes_on_without_the_killed_gateway(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=3)
    doomed, one, two = cluster.gateways
    async with (
        raw_worker(one.url) as caller,
        raw_worker(two.url) as replica,
        raw_worker(doomed.url) as other,
    ):
        for worker in (replica, other):
            await worker.register("twice::f", echo)
        await eventually(lambda: _owners(caller, "twice::f", 2))
        async with calling(caller, "twice::f", at_once=8) as history:
            await history.more()
            doomed.kill()
            await history.more(200)
    assert not history.mixed_up
    assert len(history.failed) <= 8  # one for each that may have been sent when it happened
    for error in history.failed:
        assert error["code"] == "invocation_stopped"
        assert doomed.id in error["message"]


async def _owners(caller: RawWorker, function: str, count: int) -> bool:
    rows = (await caller.call("engine::workers::list", {}))["workers"]
    return sum(function in row["functions"] for row in rows) == count


async def test_the_answer_of_a_worker_that_lost_its_connection_arrives(own_cluster: Cluster) -> None:
    first, second = own_cluster.gateways
    async with raw_worker(first.url) as caller, reconnecting(first.url, second.url) as callee:
        gate = Gate()
        await callee.register("slow::f", gate)
        await known(caller, "slow::f")
        call = await caller.begin("slow::f", {"n": 1})
        await gate.called.wait()
        callee.abort()
        await callee.connections(2)
        gate.opened.set()
        assert (await caller.result(call))["result"]["n"] == 1
        assert (await caller.call("slow::f", {"n": 2}))["n"] == 2


async def test_a_caller_that_lost_its_connection_gets_its_answer_on_the_next_one(own_cluster: Cluster) -> None:
    first, second = own_cluster.gateways
    async with raw_worker(second.url) as callee, reconnecting(first.url, second.url) as caller:
        await callee.register("slow::f")
        await known(callee, "slow::f")
        call = await caller.begin("slow::f", {"n": 1})
        invocation = await callee.expect("invokefunction", function_id="slow::f")
        caller.abort()
        await caller.connections(2)
        await callee.answer(invocation, {"n": 2})
        assert (await caller.result(call))["n"] == 2


async def test_a_caller_that_waits_on_a_killed_gateway_is_told_after_it_lost_its_own_connection(
    own_cluster: Cluster,
) -> None:
    first, doomed = own_cluster.gateways
    async with raw_worker(doomed.url) as callee, reconnecting(first.url) as caller:
        await callee.register("slow::f")
        await known(callee, "slow::f")
        call = await caller.begin("slow::f", {"n": 1})
        await callee.expect("invokefunction", function_id="slow::f")
        caller.abort()
        await caller.connections(2)
        doomed.kill()
        with pytest.raises(CallFailed) as failure:
            await caller.result(call, within=30)
        assert failure.value.code == "invocation_stopped"
