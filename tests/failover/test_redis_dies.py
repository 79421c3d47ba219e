"""Redis is killed and comes back: near calls go on, far calls wait, and everything heals by itself."""

import asyncio
from typing import Any

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, echo, known, raw_worker


async def _answers(caller: RawWorker, function: str) -> bool:
    frame = await caller.result(await caller.begin(function, {"x": 1}), within=20)
    return frame.get("result") is not None and frame["result"]["x"] == 1


async def test_near_calls_go_on_while_redis_is_away(own_cluster: Cluster) -> None:
    here = own_cluster.gateways[0]
    async with raw_worker(here.url) as callee, raw_worker(here.url) as caller:
        await callee.register("near::f", echo)
        assert await _answers(caller, "near::f")
        own_cluster.valkey.kill()
        for _ in range(50):
            assert await _answers(caller, "near::f")
        own_cluster.valkey.restart()


async def test_far_calls_made_while_redis_is_away_end_when_it_returns(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        await callee.register("far::f", echo)
        await known(caller, "far::f")
        assert await _answers(caller, "far::f")
        own_cluster.valkey.kill()
        calls = [await caller.begin("far::f", {"x": 1, "n": n}) for n in range(20)]
        await caller.flush()
        own_cluster.valkey.restart()
        results = await asyncio.gather(*(caller.result(call, within=20) for call in calls))
        assert [result["result"]["n"] for result in results] == list(range(20))


async def test_a_redis_that_lost_its_memory_is_filled_again(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(coordinators=2)
    here, there = cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        await callee.register("kept::f", echo)
        await known(caller, "kept::f")
        cluster.valkey.kill()
        cluster.valkey.restart()
        await eventually(lambda: _answers(caller, "kept::f"))
        async with raw_worker(there.url) as newcomer:
            await newcomer.register("fresh::f", echo)
            await known(caller, "kept::f", "fresh::f")
            assert await _answers(caller, "fresh::f")

        async def only_kept() -> bool:
            rows = (await caller.call("engine::functions::list", {}))["functions"]
            return {row["function_id"] for row in rows} == {"kept::f"}

        await eventually(only_kept)
        cluster.add_gateway()
