"""Limits that gateways share, and the pace of single connections."""

import asyncio
import json
import urllib.request
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.raw import known, raw_worker

MakeCluster = Callable[..., Cluster]


def limits(gateway: ClusterNode) -> Any:
    with urllib.request.urlopen(f"{gateway.admin_url}/status", timeout=30) as answer:
        return json.load(answer)["service"]["limits"]


async def others_have(gateway: ClusterNode, **counts: int) -> None:
    """Waits until a gateway knows this of all the others."""
    await eventually(lambda: counts.items() <= limits(gateway)["others"].items())


async def test_the_cluster_takes_so_many_workers(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(shards=1, options={"max-cluster-connections": "3"})
    first, second = cluster.gateways
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(raw_worker(first.url))
        await others_have(second, connections=2)
        last = await stack.enter_async_context(raw_worker(second.url))
        await others_have(first, connections=1)
        for gateway in (first, second):
            with pytest.raises(InvalidStatus) as raised:
                await connect(gateway.url)
            assert raised.value.response.status_code == 503
            assert int(raised.value.response.headers["Retry-After"]) > 0
        async with connect(f"{first.url}/otel"):
            pass
        await last.close()
        await others_have(first, connections=0)
        async with raw_worker(first.url) as another:
            await another.flush()
    assert limits(first)["refused_connections"] == 1


async def test_the_cluster_takes_so_many_calls_and_registrations(make_cluster: MakeCluster) -> None:
    options = {"max-cluster-in-flight": "3", "max-cluster-registrations": "3"}
    cluster = make_cluster(shards=1, options=options)
    first, second = cluster.gateways
    async with raw_worker(first.url) as serving, raw_worker(second.url) as caller:
        for name in ("limits::f", "limits::g"):
            await serving.register(name)
        await known(caller, "limits::f", "limits::g")
        await others_have(second, registrations=2)
        await caller.send("registertrigger", id="limits::t", trigger_type="t", function_id="limits::f", config={})
        failed = await caller.expect("triggerregistrationresult")
        assert failed["error"]["code"] == "LIMIT_EXCEEDED"
        begun = [await serving.begin("limits::f") for _ in range(2)]
        calls = [await serving.expect("invokefunction") for _ in begun]
        await others_have(second, in_flight=2)
        begun.append(await caller.begin("limits::f"))
        calls.append(await serving.expect("invokefunction"))
        refused = await caller.result(await caller.begin("limits::f"))
        assert refused["error"]["code"] == "LIMIT_EXCEEDED"
        for call in calls:
            await serving.answer(call, "done")
        await others_have(second, in_flight=0)
        await caller.begin("limits::f")
        await serving.answer(await serving.expect("invokefunction"), "done")


async def test_without_redis_the_limits_stay_as_they_were(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(shards=1, options={"max-cluster-in-flight": "2"})
    first, second = cluster.gateways
    async with raw_worker(first.url) as one, raw_worker(second.url) as other:
        for worker, name in ((one, "limits::one"), (other, "limits::other")):
            await worker.register(name)
            await known(worker, name)
        waiting = await one.begin("limits::one")
        call = await one.expect("invokefunction")
        await others_have(second, in_flight=1)
        cluster.valkey.pause()
        try:
            await other.begin("limits::other")
            await other.expect("invokefunction")
            for _ in range(3):
                refused = await other.result(await other.begin("limits::other"))
                assert refused["error"]["code"] == "LIMIT_EXCEEDED"
            await one.answer(call, "done")
            assert (await one.result(waiting))["result"] == "done"
        finally:
            cluster.valkey.resume()
        await others_have(second, in_flight=0)


async def test_who_sends_too_fast_is_read_more_slowly_and_loses_nothing(make_cluster: MakeCluster) -> None:
    gateway = make_cluster(gateways=1, shards=1, options={"max-messages-per-second": "200"}).gateways[0]
    async with raw_worker(gateway.url) as fast, raw_worker(gateway.url) as other:
        fast.send_together(*({"type": "ping", "n": n} for n in range(600)))
        await other.flush()
        async with asyncio.timeout(30):
            for _ in range(600):
                await fast.expect("pong")
        await fast.flush()
    assert limits(gateway)["slowed"] > 0


async def test_a_connection_has_so_many_calls_in_flight(make_cluster: MakeCluster) -> None:
    gateway = make_cluster(gateways=1, shards=1, options={"max-in-flight": "5"}).gateways[0]
    async with raw_worker(gateway.url) as worker:
        await worker.register("limits::slow")
        await known(worker, "limits::slow")
        begun = [await worker.begin("limits::slow") for _ in range(8)]
        refused = [await worker.result(id) for id in begun[5:]]
        assert [frame["error"]["code"] for frame in refused] == ["LIMIT_EXCEEDED"] * 3
        for _ in range(5):
            await worker.answer(await worker.expect("invokefunction"), 1)
        assert [(await worker.result(id))["result"] for id in begun[:5]] == [1] * 5
