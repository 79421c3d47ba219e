"""Connections that ask much, or take nothing: others do not notice."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, echo, known, raw_worker

REGISTRATIONS = 10_000
# What a client announces that accepts messages above 1 MiB.
TAKES_LONG_LISTS: dict[str, Any] = {"version": "0.25.0", "features": ["large-messages.v1"]}


async def count_of(worker: RawWorker, prefix: str) -> int:
    """How many functions with this prefix the cluster lists to `worker`."""
    rows = (await worker.call("engine::functions::list", {}))["functions"]
    return sum(row["function_id"].startswith(prefix) for row in rows)


async def test_ten_thousand_registrations_at_once_leave_others_in_peace(shared_cluster: Cluster, unique: str) -> None:
    first, second = shared_cluster.gateways
    async with (
        raw_worker(first.url, **TAKES_LONG_LISTS) as caller,
        raw_worker(second.url, **TAKES_LONG_LISTS) as callee,
    ):
        await callee.register(f"{unique}::echo", echo)
        await known(caller, f"{unique}::echo")
        async with raw_worker(first.url) as many:
            registering = asyncio.create_task(register_many(many, unique))
            calls = 0
            while not registering.done() or calls < 100:
                assert (await caller.call(f"{unique}::echo", {"n": calls}))["n"] == calls
                calls += 1
            await registering
            for worker in (caller, callee):
                await eventually(partial(all_listed, worker, f"{unique}-many"))
            for n in (0, REGISTRATIONS // 2, REGISTRATIONS - 1):
                call = await caller.begin(f"{unique}-many::{n}")
                await many.answer(await many.expect("invokefunction", function_id=f"{unique}-many::{n}"), n)
                assert (await caller.result(call))["result"] == n

        async def all_gone() -> bool:
            return await count_of(callee, f"{unique}-many") == 0

        await eventually(all_gone)
        assert (await caller.call(f"{unique}::echo", {"n": -1}))["n"] == -1


async def register_many(worker: RawWorker, unique: str) -> None:
    for n in range(REGISTRATIONS):
        await worker.register(f"{unique}-many::{n}")
    await worker.flush()


async def all_listed(worker: RawWorker, prefix: str) -> bool:
    return await count_of(worker, prefix) == REGISTRATIONS


@pytest.mark.parametrize("feeder", [0, 1], ids=["same-gateway", "other-gateway"])
async def test_a_client_that_never_reads_does_not_disturb_others(
    make_cluster: Callable[..., Cluster], unique: str, feeder: int
) -> None:
    cluster = make_cluster(options={"stall-timeout": "2"})
    first, second = cluster.gateways
    async with (
        connect(first.url, max_queue=1, ping_interval=None, close_timeout=0.1) as deaf,
        raw_worker(cluster.gateways[feeder].url) as flooder,
        raw_worker(first.url) as caller,
        raw_worker(second.url) as callee,
    ):
        await deaf.send(json.dumps({"type": "registerfunction", "id": f"{unique}::deaf"}))
        await callee.register(f"{unique}::echo", echo)
        await known(flooder, f"{unique}::deaf")
        await known(caller, f"{unique}::echo")

        flooding = asyncio.create_task(flood(flooder, f"{unique}::deaf"))
        for n in range(300):
            assert (await caller.call(f"{unique}::echo", {"n": n}))["n"] == n
        # The one that does not read is cut off in the end, and its callers go on.
        await flooding
        frame = await flooder.result(await flooder.begin(f"{unique}::deaf"), within=30)
        assert frame["error"]["code"] in {"function_not_found", "invocation_stopped"}
        assert (await flooder.call(f"{unique}::echo", {"n": 1}))["n"] == 1


async def flood(worker: RawWorker, function: str) -> None:
    """64 MiB of calls that nobody waits for."""
    data = "x" * 2**16
    for _ in range(1024):
        await worker.send("invokefunction", function_id=function, data=data, action={"type": "void"})


async def test_a_message_of_nothing_but_brackets_does_not_hold_up_the_gateway(own_cluster: Cluster) -> None:
    url = own_cluster.gateways[0].url
    async with raw_worker(url) as deep, raw_worker(url) as other:
        await other.register("other::echo", echo)
        await deep.socket.send([bracket * 2**20 for bracket in "[]" for _ in range(8)])
        flushing = asyncio.create_task(deep.flush())
        calls = 0
        while not flushing.done() or calls < 100:
            assert await other.call("other::echo", calls) == calls
            calls += 1
        await flushing
