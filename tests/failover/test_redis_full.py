"""Redis has no memory left and evicts nothing: what the cluster needs is written all the same."""

from pathlib import Path

import pytest
import redis

from tests.support.raw import echo, raw_worker
from tests.support.trouble import troubled_world


async def test_calls_registrations_joins_and_elections_go_on_while_redis_is_full(tmp_path: Path) -> None:
    async with troubled_world(tmp_path) as world:
        world.redis.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
        world.redis.execute("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            world.redis.execute("SET", "anything", 1)
        await world.change()
        await world.healed()
        joined = world.cluster.gateways[-1]
        async with raw_worker(joined.url, name="late") as late:
            await late.register("full::f", echo)
            world.functions.add("full::f")
            await world.going_on()
            assert await world.all_ready()
        world.functions.discard("full::f")
        leader = await world.leader()
        leader.kill()
        world.cluster.coordinators.remove(leader)
        await world.healed()
        world.no_call_failed()
