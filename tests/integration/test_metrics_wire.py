"""Whoever makes a call, whoever serves it: the cluster counts it once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from iii_cluster.telemetry.metrics.families import FAMILIES, Kind
from iii_cluster.telemetry.metrics.functions import UNKNOWN
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.http_peer import http_peer
from tests.support.metrics import Scraped, scrape
from tests.support.raw import CallFailed, Frame, RawWorker, known, raw_worker


@pytest.fixture
async def here(shared_cluster: Cluster) -> AsyncIterator[RawWorker]:
    async with raw_worker(shared_cluster.gateways[0].url) as worker:
        yield worker


@pytest.fixture
async def there(shared_cluster: Cluster) -> AsyncIterator[RawWorker]:
    async with raw_worker(shared_cluster.gateways[1].url) as worker:
        yield worker


def counts(scraped: Scraped, function: str) -> dict[str, int]:
    """By status; of errors, by code."""
    name = "iii_invocations_total"
    found = {status: int(scraped.total(name, function_id=function, status=status)) for status in ("ok", "deferred")}
    errors = scraped.samples.get("iii_invocation_errors_total", [])
    own = [sample for sample in errors if sample.labels["function_id"] == function]
    found |= {code: int(scraped.total("iii_invocation_errors_total", function_id=function, error_code=code))
              for code in {sample.labels["error_code"] for sample in own}}  # fmt: skip
    failed = scraped.total(name, function_id=function, status="error")
    assert failed == sum(sample.value for sample in own)
    for status, count in (("ok", found["ok"]), ("error", failed)):
        measured = scraped.total("iii_invocation_duration_seconds_count", function_id=function, status=status)
        assert measured == count
    return {status: count for status, count in found.items() if count}


async def settles(cluster: Cluster, function: str, expected: dict[str, int]) -> None:
    """The cluster comes to count that, and no more."""

    async def counted() -> bool:
        found = counts(await scrape(cluster.nodes), function)
        assert found == expected
        return True

    await eventually(counted)


def odd(frame: Frame) -> object:
    return CallFailed({"code": "odd", "message": "no"}) if frame["data"] % 2 else frame["data"]


async def test_calls_are_counted_once_wherever_they_come_from(
    shared_cluster: Cluster, here: RawWorker, there: RawWorker, unique: str
) -> None:
    await here.register(unique, odd)
    await known(there, unique)
    for worker in (here, there):
        await asyncio.gather(*(worker.call(unique, number) for number in range(0, 10, 2)))
        for number in (1, 3):
            with pytest.raises(CallFailed):
                await worker.call(unique, number)
        for _ in range(4):
            await worker.send("invokefunction", function_id=unique, data=0, action={"type": "void"})
    await settles(shared_cluster, unique, {"ok": 2 * (5 + 4), "odd": 2 * 2})


async def test_calls_that_reach_nobody_are_errors_of_one_unknown_function(
    shared_cluster: Cluster, here: RawWorker, unique: str
) -> None:
    before = counts(await scrape(shared_cluster.nodes), UNKNOWN)
    for number in range(3):
        with pytest.raises(CallFailed) as failed:
            await here.call(f"{unique}-{number}", 0)
    code = failed.value.code
    await settles(shared_cluster, UNKNOWN, {**before, code: before.get(code, 0) + 3})
    await settles(shared_cluster, f"{unique}-0", {})


async def test_a_function_of_another_namespace_is_another_function(
    shared_cluster: Cluster, there: RawWorker, unique: str
) -> None:
    async with raw_worker(shared_cluster.gateways[0].url, namespace="elsewhere") as inside:
        await inside.register(unique, odd)
        await known(there, unique, namespace="elsewhere")
        await there.call(unique, 2, namespace="elsewhere")
    await settles(shared_cluster, f"elsewhere/{unique}", {"ok": 1})
    await settles(shared_cluster, unique, {})


async def test_a_job_is_deferred_when_it_is_taken_and_counts_again_when_it_has_run(
    shared_cluster: Cluster, here: RawWorker, there: RawWorker, unique: str
) -> None:
    await here.register(unique, odd)
    await known(there, unique)
    enqueue = {"type": "enqueue", "queue": "default"}
    for _ in range(6):
        await there.call(unique, 0, action=enqueue)
    await settles(shared_cluster, unique, {"deferred": 6, "ok": 6})


async def test_what_a_shard_asks_of_a_module_is_counted_by_the_shard_alone(
    shared_cluster: Cluster, here: RawWorker, unique: str
) -> None:
    before = counts(await scrape(shared_cluster.nodes), "state::set")
    action = {"type": "enqueue", "queue": "default"}
    await here.call("state::set", {"scope": unique, "key": "a", "value": 1}, action=action)
    expected = {**before, "ok": before.get("ok", 0) + 1, "deferred": before.get("deferred", 0) + 1}
    await settles(shared_cluster, "state::set", expected)


async def test_a_request_is_counted_with_its_route_and_the_call_that_serves_it_once(
    shared_cluster: Cluster, here: RawWorker, unique: str
) -> None:
    await here.register(unique, lambda frame: {"status_code": 418, "body": "tea"})
    config = {"api_path": f"{unique}/:id", "http_method": "GET"}
    await here.send("registertrigger", id=unique, trigger_type="http", function_id=unique, config=config)
    async with http_peer(shared_cluster.gateways[1].ports["http"]) as client:

        async def routed() -> bool:
            return (await client.ask("HEAD", f"/{unique}/0")).status == 418

        await eventually(routed)
        for number in range(3):
            assert (await client.ask("GET", f"/{unique}/{number}")).status == 418
    await settles(shared_cluster, unique, {"ok": 4})
    route = {"route": f"/{unique}/:id", "method": "GET"}

    async def counted() -> bool:
        scraped = await scrape(shared_cluster.nodes)
        return (
            scraped.total("iii_http_requests_total", **route, status="418")
            == scraped.total("iii_http_request_duration_seconds_count", **route)
            == 3
        )

    await eventually(counted)


async def test_everything_that_is_documented_is_told(shared_cluster: Cluster, here: RawWorker, unique: str) -> None:
    with pytest.raises(CallFailed):
        await here.call(unique)
    async with http_peer(shared_cluster.gateways[0].ports["http"]) as client:
        assert (await client.ask("GET", f"/{unique}")).status == 404

    async def told() -> bool:
        scraped = await scrape(shared_cluster.nodes)
        for family in FAMILIES:
            name = f"{family.name}_bucket" if family.kind is Kind.HISTOGRAM else family.exposed
            labels = [set(sample.labels) - {"le"} for sample in scraped.samples.get(name, ())]
            assert labels[:1] == [set(family.labels)], name
        return True

    await eventually(told)


async def test_what_is_true_of_the_whole_cluster_is_told_by_one_process(
    shared_cluster: Cluster, here: RawWorker
) -> None:
    async def told() -> bool:
        scraped = await scrape(shared_cluster.nodes)
        assert scraped.of("iii_slots_unowned") == [0]
        assert scraped.total("iii_leader") == 1
        assert scraped.total("iii_slots_owned") == 1024
        nodes = {role: scraped.of("iii_cluster_nodes", role=role) for role in ("gateway", "shard", "coordinator")}
        assert nodes == {"gateway": [2], "shard": [2], "coordinator": [1]}
        for name in ("depth", "delayed", "dead", "oldest_job_age_seconds"):
            assert len(scraped.of(f"iii_queue_{name}", queue="default")) == 1
        return True

    await eventually(told)


async def test_workers_are_counted_when_they_come_and_when_they_have_left(shared_cluster: Cluster) -> None:
    async def there(count: int) -> float:
        """How many have ever come, when so many are there and every other one is known to have left."""

        async def reached() -> float:
            scraped = await scrape(shared_cluster.nodes)
            active, spawns, deaths = (
                scraped.total(f"iii_workers_{name}") for name in ("active", "spawns_total", "deaths_total")
            )
            assert (active, spawns - deaths) == (count, count)
            return spawns

        return float(await eventually(reached))

    url, other = shared_cluster.gateways[0].url, shared_cluster.gateways[1].url
    async with raw_worker(url):
        before = await there(1)
        async with raw_worker(url), raw_worker(other):
            assert await there(3) >= before + 2
        await there(1)
