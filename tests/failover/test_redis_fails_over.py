"""The primary is lost or demoted and a replica takes over, reached under the same address."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.raw import echo, raw_worker
from tests.support.trouble import World, troubled_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with troubled_world(tmp_path) as world:
        yield world


async def test_a_killed_primary_is_replaced_by_its_replica(world: World) -> None:
    world.redis.kill()
    await world.change()
    await world.going_on(far=False)
    world.replica.promote()
    world.proxy.target = world.replica.port
    await world.healed()
    world.no_call_failed()


async def test_a_demoted_primary_that_stays_up_is_left_by_everybody(world: World) -> None:
    world.replica.promote()
    world.proxy.target = world.replica.port
    await asyncio.to_thread(world.redis.follow, world.replica)
    await world.change()
    await world.healed()
    world.no_call_failed()

    def left() -> bool:
        return not any(client["name"].startswith(("pub:", "sub:")) for client in world.redis.clients())

    await eventually(left)


async def test_writes_that_did_not_reach_the_replica_are_made_again(world: World) -> None:
    world.replica.promote()  # from here on it misses everything
    joined = await asyncio.to_thread(world.cluster.add_gateway)
    async with raw_worker(joined.url, name="joined") as worker:
        await worker.register("joined::f", echo)
        world.functions.add("joined::f")
        await eventually(lambda: world.listed(world.caller))
        world.redis.kill()
        await world.change()
        world.functions.add("joined::f")
        world.proxy.target = world.replica.port
        await world.healed()
        assert (await world.caller.call("joined::f", {"n": 1}))["n"] == 1
    world.no_call_failed()
