"""Subscriptions that break, or stay open and hear nothing: it shows, it heals, and no call is lost over it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.trouble import World, troubled_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with troubled_world(tmp_path) as world:
        yield world


async def test_calls_survive_killed_subscriptions(world: World) -> None:
    for _ in range(5):
        subscribers = len(world.cluster.nodes) + len(world.cluster.gateways)  # gateways follow streams, too
        assert world.redis.execute("CLIENT", "KILL", "TYPE", "pubsub") == subscribers
        await world.going_on()
        await eventually(world.all_ready)
    await world.change()
    await world.healed()
    world.no_call_failed()


async def test_nodes_that_hear_nothing_are_not_ready_and_calls_wait_until_they_do(world: World) -> None:
    world.proxy.swallow_pushes = True
    calls = [await world.caller.begin("far::f", {"n": n}) for n in range(20)]
    await world.change()
    await eventually(world.none_ready)
    await world.going_on(far=False)
    world.proxy.swallow_pushes = False
    for number, call in enumerate(calls):
        assert (await world.caller.result(call, within=30))["result"]["n"] == number
    await world.healed()
    world.no_call_failed()


async def test_connections_that_are_reset_are_made_again(world: World) -> None:
    for _ in range(5):
        world.proxy.reset()
        await world.going_on()
    await world.change()
    await world.healed()
    world.no_call_failed()
