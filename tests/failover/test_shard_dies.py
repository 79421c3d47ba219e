"""A shard is killed, joins or leaves: its slots move, and no function that exists is ever "not found"."""

import asyncio

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.history import calling
from tests.support.raw import RawWorker, echo, known, raw_worker

FUNCTIONS = [f"moved::f{n}" for n in range(40)]


async def _register_all(worker: RawWorker, observer: RawWorker) -> None:
    for function in FUNCTIONS:
        await worker.register(function, echo)
    await known(observer, *FUNCTIONS)


async def _call_each(caller: RawWorker) -> None:
    """First calls: none of these routes is cached."""
    answers = await asyncio.gather(*(caller.call(f, {"f": f}, within=20) for f in FUNCTIONS))
    assert [answer["f"] for answer in answers] == FUNCTIONS


async def test_functions_of_a_killed_shard_are_found_at_the_next_one(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        await _register_all(callee, caller)
        own_cluster.shards[0].kill()
        await _call_each(caller)
        await known(caller, *FUNCTIONS)


async def test_cached_routes_do_not_notice_a_killed_shard(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        await _register_all(callee, caller)
        async with calling(caller, FUNCTIONS[0]) as history:
            await history.more()
            for shard in own_cluster.shards:
                shard.kill()
                await history.more(200)
            own_cluster.add_shard()
            await known(caller, *FUNCTIONS)
            await history.more()
    assert not history.failed
    assert not history.mixed_up


async def test_a_shard_that_joins_takes_its_share_without_losing_a_function(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        await _register_all(callee, caller)
        own_cluster.add_shard()
        await _call_each(caller)
        await known(caller, *FUNCTIONS)


async def test_registrations_made_while_a_shard_is_dead_are_not_lost(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as callee, raw_worker(here.url) as caller:
        own_cluster.shards[1].kill()
        await _register_all(callee, caller)
        await _call_each(caller)


async def test_triggers_stay_bound_when_their_shard_dies(own_cluster: Cluster) -> None:
    here, there = own_cluster.gateways
    async with raw_worker(there.url) as provider, raw_worker(here.url) as owner:
        await provider.send("registertriggertype", id="hook", description="")
        for number in range(10):
            trigger = {"id": f"t-{number}", "trigger_type": "hook", "function_id": "f"}
            await owner.send("registertrigger", **trigger, config={"n": number})
        for number in range(10):
            await provider.expect("registertrigger", id=f"t-{number}")
        own_cluster.shards[0].kill()

        async def all_live() -> bool:
            rows = (await owner.call("engine::registered-triggers::list", {}))["registered_triggers"]
            return {row["id"] for row in rows if row["state"] == "live"} == {f"t-{n}" for n in range(10)}

        await eventually(all_live)
        await owner.send("unregistertrigger", id="t-3")
        await provider.expect("unregistertrigger", id="t-3")
