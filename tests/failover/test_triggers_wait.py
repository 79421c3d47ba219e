"""Triggers of a worker that is lost: until its window is over they stay, and whoever fires them waits for it."""

import asyncio
from typing import Any

import pytest

from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.http_peer import Answer, http_peer
from tests.support.raw import Frame, RawWorker, raw_worker, workers_listed
from tests.support.reconnecting import reconnecting
from tests.support.told import EVENTS, Told, write

WINDOW = 30  # s: what the tests do while a worker is away takes less, on any machine
SERVE = "serve::hello"
ROUTE = {"api_path": "/hello", "http_method": "GET"}
REQUESTS = 20


@pytest.fixture
def cluster(make_cluster: Any) -> Cluster:
    made: Cluster = make_cluster(options={"reattach-window": str(WINDOW)})
    return made


async def serve(worker: RawWorker, body: str, trigger_id: str = "hello") -> None:
    def answer(_frame: Frame) -> Any:
        return {"status_code": 200, "body": body}

    await worker.register(SERVE, answer)
    await worker.send("registertrigger", id=trigger_id, trigger_type="http", function_id=SERVE, config=ROUTE)


async def get(gateway: ClusterNode) -> Answer:
    async with http_peer(gateway.ports["http"]) as client:
        return await client.ask("GET", "/hello")


async def served(gateway: ClusterNode, body: str) -> None:
    async def is_served() -> bool:
        answer = await get(gateway)
        return answer.status == 200 and answer.value == body

    await eventually(is_served)


async def unrouted(gateway: ClusterNode) -> None:
    """Returns when a gateway has heard that the route is gone; fails if a request waits for its worker."""

    async def is_unrouted() -> bool:
        return (await get(gateway)).status == 404

    await eventually(is_unrouted)


async def cleaned_up(observer: RawWorker, lost: str) -> None:
    """Returns when the cluster has released everything of a connection."""

    async def gone() -> bool:
        return lost not in await workers_listed(observer)

    await eventually(gone)


async def triggers_listed(observer: RawWorker) -> set[str]:
    rows = (await observer.call("engine::registered-triggers::list", {}))["registered_triggers"]
    return {row["id"] for row in rows if row["state"] == "live"}


@pytest.mark.parametrize("loss", ["its gateway is killed", "its connection breaks"])
async def test_a_route_of_a_lost_worker_waits_for_it(cluster: Cluster, loss: str) -> None:
    doomed, safe = cluster.gateways
    async with raw_worker(safe.url) as observer, raw_worker(doomed.url) as worker:
        await serve(worker, "first")
        await served(safe, "first")
        lost = worker.worker_id
        if loss == "its gateway is killed":
            doomed.kill()
        else:
            await worker.abort()
        await cleaned_up(observer, lost)
        requests = [asyncio.create_task(get(safe)) for _ in range(REQUESTS)]
        await observer.flush()
        async with raw_worker(safe.url) as again:
            await serve(again, "again")
            answers = await asyncio.gather(*requests)
            assert [(answer.status, answer.value) for answer in answers] == [(200, "again")] * REQUESTS
            assert await triggers_listed(observer) == {"hello"}


async def test_every_event_of_the_time_without_its_worker_arrives_once(cluster: Cluster) -> None:
    doomed, safe = cluster.gateways
    told = Told()
    async with raw_worker(safe.url) as writer, reconnecting(doomed.url) as worker:
        await told.listen(worker)
        n = 0

        async def all_told() -> bool:
            nonlocal n
            n += 1
            await write(writer, n)
            return all(told.numbers.values())

        await eventually(all_told)
        lost = worker.worker_id
        doomed.kill()
        await cleaned_up(writer, lost)
        first = n + 1
        expected = list(range(first, first + REQUESTS))
        for number in expected:
            await write(writer, number)
        async with reconnecting(safe.url) as again:
            await told.listen(again)
            await eventually(lambda: all(len(each) >= len(expected) for each in told.of(first).values()), within=30)
            expected.append(expected[-1] + 1)
            await write(writer, expected[-1])
            await eventually(lambda: all(expected[-1] in each for each in told.of(first).values()), within=30)
            assert told.of(first) == dict.fromkeys(EVENTS, expected)


async def test_nothing_of_a_lost_worker_outlives_the_window(make_cluster: Any) -> None:
    cluster: Cluster = make_cluster(gateways=3)
    first, second, safe = cluster.gateways
    async with raw_worker(safe.url) as observer, raw_worker(first.url) as one, raw_worker(second.url) as two:
        await serve(one, "one", "of one")
        await served(safe, "one")
        await two.register("two::f", lambda _: None)
        await two.send("registertrigger", id="of two", trigger_type="state", function_id="two::f", config={})
        await eventually(lambda: _are(observer, {"of one", "of two"}))
        first.kill()
        await two.abort()
        await eventually(lambda: _are(observer, set()))
        for gateway in (safe, second):
            await unrouted(gateway)


async def test_a_worker_that_leaves_by_itself_takes_its_triggers_along(cluster: Cluster) -> None:
    left, safe = cluster.gateways
    async with raw_worker(safe.url) as observer:
        async with raw_worker(left.url) as worker:
            await serve(worker, "first")
            await served(safe, "first")
        await cleaned_up(observer, worker.worker_id)
        assert await triggers_listed(observer) == set()
        await unrouted(left)


async def _are(observer: RawWorker, ids: set[str]) -> bool:
    return await triggers_listed(observer) == ids
