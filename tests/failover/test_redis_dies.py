"""Redis is killed and comes back, with its data or without: near calls go on, far calls wait, everything heals."""

import asyncio
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.raw import CallFailed
from tests.support.trouble import troubled_world


@pytest.mark.parametrize("durable", [True, False], ids=["with its data", "with empty memory"])
async def test_near_calls_go_on_and_far_ones_end_when_redis_returns(tmp_path: Path, durable: bool) -> None:
    async with troubled_world(tmp_path, durable=durable) as world:
        world.redis.kill()
        calls = [await world.caller.begin("far::f", {"n": n}) for n in range(20)]
        await world.change()
        await eventually(world.none_ready)
        await world.going_on(far=False)
        await asyncio.to_thread(world.redis.start)
        for number, call in enumerate(calls):
            assert (await world.caller.result(call, within=30))["result"]["n"] == number
        await world.healed()
        world.no_call_failed()


@pytest.mark.parametrize("durable", [True, False], ids=["with its data", "with empty memory"])
async def test_far_calls_fail_clearly_when_redis_stays_away(tmp_path: Path, durable: bool) -> None:
    async with troubled_world(tmp_path, durable=durable, options={"redis-outage-limit": "1"}) as world:
        world.redis.kill()
        await eventually(lambda: len(world.far_calls.failed) >= 8)
        with pytest.raises(CallFailed) as failure:
            await world.caller.call("unheard::of", {}, within=30)
        assert failure.value.code in ("TIMEOUT", "invocation_stopped")
        await world.change()
        await world.going_on(far=False)
        assert {error["code"] for error in world.far_calls.failed} == {"invocation_stopped"}
        await asyncio.to_thread(world.redis.start)
        await world.healed()
        assert not world.near_calls.failed
        assert not world.far_calls.mixed_up


async def test_everything_is_there_after_redis_died_again_and_again(tmp_path: Path) -> None:
    async with troubled_world(tmp_path) as world:
        for _ in range(4):
            await asyncio.to_thread(world.redis.restart)
            await world.going_on()
        await world.change()
        await world.healed()
        world.no_call_failed()
