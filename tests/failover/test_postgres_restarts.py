"""State in PostgreSQL, seen by workers on two gateways, also while the server restarts."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.postgres import PostgresServer
from tests.support.raw import CallFailed, Frame, RawWorker, raw_worker

INCREMENT = {"type": "increment", "path": "n", "by": 1}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Cluster]:
    """Two gateways and two shards."""
    adapter = {"name": "postgres", "config": {"url": postgres.url}}
    modules = json.dumps([{"name": "iii-state", "config": {"adapter": adapter}}])
    cluster = Cluster(tmp_path_factory.mktemp("postgres-cluster"), env={"III_CLUSTER_MODULES": modules})
    try:
        yield cluster.start()
    finally:
        cluster.stop()


async def test_triggers_see_every_write_of_a_key_in_order_wherever_it_was_made(cluster: Cluster, unique: str) -> None:
    seen: list[Frame] = []

    def changed(frame: Frame) -> None:
        seen.append(frame["data"])

    here, there = (gateway.url for gateway in cluster.gateways)
    async with raw_worker(here) as one, raw_worker(there) as two:
        await one.register(f"{unique}::changed", changed)
        config = {"scope": unique}
        await one.send(
            "registertrigger", id=unique, trigger_type="state", function_id=f"{unique}::changed", config=config
        )
        at = {"scope": unique, "key": "counter"}

        async def told() -> bool:
            await two.call("state::set", {**at, "value": {"n": 0}})
            return bool(seen)

        await eventually(told)
        await asyncio.gather(*(each.call("state::update", {**at, "ops": [INCREMENT]}) for each in (one, two) * 30))
        await eventually(lambda: seen[-1]["new_value"] == {"n": 60})
        counted = [(event["old_value"], event["new_value"]) for event in seen if event["new_value"] != {"n": 0}]
        assert counted == [({"n": n}, {"n": n + 1}) for n in range(60)]


async def test_a_restart_of_the_server_loses_no_update_that_was_confirmed(
    cluster: Cluster, unique: str, postgres: PostgresServer
) -> None:
    at = {"scope": unique, "key": "counter"}
    confirmed = doubtful = 0
    codes: set[str] = set()

    async def count(worker: RawWorker, updates: int) -> None:
        nonlocal confirmed, doubtful
        for _ in range(updates):
            try:
                await worker.call("state::update", {**at, "ops": [INCREMENT]}, within=30)
                confirmed += 1
            except CallFailed as failed:
                codes.add(failed.code)
                doubtful += 1

    here, there = (gateway.url for gateway in cluster.gateways)
    async with raw_worker(here) as one, raw_worker(there) as two:
        await asyncio.gather(count(one, 20), count(two, 20))
        counting = asyncio.gather(*(count(worker, 20) for worker in (one, two)))
        await asyncio.to_thread(postgres.restart)
        await counting
        await asyncio.gather(count(one, 20), count(two, 20))
        total = (await two.call("state::get", at))["n"]
        assert confirmed <= total <= confirmed + doubtful
        assert confirmed + doubtful == 120
        assert codes <= {"UPDATE_ERROR"}
