"""Redis turns into a replica under the cluster for a while, and becomes a primary again."""

import asyncio
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.trouble import World, troubled_world


async def _demote(world: World) -> None:
    """A replica that keeps its data and stays up, but takes no write."""
    world.replica.promote()
    await asyncio.to_thread(world.redis.follow, world.replica)


async def test_near_calls_go_on_and_far_ones_wait_while_redis_takes_no_writes(tmp_path: Path) -> None:
    async with troubled_world(tmp_path) as world:
        await _demote(world)
        await eventually(world.none_ready)
        await world.change()
        await world.going_on(far=False)
        world.redis.promote()
        await world.healed()
        world.no_call_failed()


async def test_far_calls_fail_clearly_when_it_takes_too_long(tmp_path: Path) -> None:
    async with troubled_world(tmp_path, options={"redis-outage-limit": "1"}) as world:
        await _demote(world)
        await eventually(lambda: len(world.far_calls.failed) >= 4)
        await world.change()
        await world.going_on(far=False)
        assert not world.near_calls.failed
        assert {error["code"] for error in world.far_calls.failed} == {"invocation_stopped"}
        world.redis.promote()
        await world.healed()
        assert not world.near_calls.failed
        assert not world.far_calls.mixed_up
