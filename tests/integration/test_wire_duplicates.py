"""Several connections register one function: the three policies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import CallFailed, RawWorker, known, raw_worker

Three = tuple[RawWorker, RawWorker, RawWorker]


@pytest.fixture
async def three(request: pytest.FixtureRequest, make_cluster: Callable[..., Cluster]) -> AsyncIterator[Three]:
    """A caller and two workers on different gateways; the test names the policy."""
    cluster = make_cluster(options={"duplicate-functions": request.param})
    first, second = cluster.gateways
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(raw_worker(url)) for url in (first.url, first.url, second.url)]
        yield workers[0], workers[1], workers[2]


async def answered_by(caller: RawWorker, worker: RawWorker) -> None:
    """Returns when calls are answered by this worker, and by nobody else."""

    async def only() -> bool:
        try:
            answers = {await caller.call("f") for _ in range(5)}
        except CallFailed:
            return False
        return answers == {worker.worker_id}

    await eventually(only)


async def register(worker: RawWorker) -> None:
    await worker.register("f", lambda _: worker.worker_id)
    await worker.flush()


@pytest.mark.parametrize("three", ["balance"], indirect=True)
async def test_under_balance_all_serve(three: Three) -> None:
    caller, one, two = three
    await register(one)
    await register(two)
    answers: set[str] = set()

    async def both() -> bool:
        # Several at a time: as long as one is enough, the near one serves.
        answers.update(await asyncio.gather(*(caller.call("f") for _ in range(4))))
        return answers == {one.worker_id, two.worker_id}

    await known(caller, "f")
    await eventually(both)
    await one.abort()
    await answered_by(caller, two)


@pytest.mark.parametrize("three", ["reject"], indirect=True)
async def test_under_reject_the_second_is_told_and_the_first_keeps_it(three: Three) -> None:
    caller, one, two = three
    await register(one)
    await known(caller, "f")
    await register(two)
    assert await two.expect("registrationrejected") == {
        "type": "registrationrejected",
        "code": "FUNCTION_NAMESPACE_CONFLICT",
        "namespace": "default",
        "function_id": "f",
        "owner_worker_id": one.worker_id,
    }
    await answered_by(caller, one)
    await one.nothing("registrationrejected")

    # The refused one may ask again when the owner is gone.
    await one.abort()

    async def taken_over() -> bool:
        await register(two)
        try:
            return bool(await caller.call("f") == two.worker_id)
        except CallFailed:
            return False

    await eventually(taken_over)


@pytest.mark.parametrize("three", ["replace"], indirect=True)
async def test_under_replace_the_newest_serves_and_the_older_returns(three: Three) -> None:
    caller, one, two = three
    await register(one)
    await known(caller, "f")
    await answered_by(caller, one)
    await register(two)
    await answered_by(caller, two)
    await two.abort()
    await answered_by(caller, one)


@pytest.mark.parametrize("three", ["balance", "reject", "replace"], indirect=True)
async def test_a_connection_may_register_its_own_function_again(three: Three) -> None:
    caller, one, _ = three
    await register(one)
    await one.register("f", lambda _: "again", description="the newer one")
    await known(caller, "f")
    assert await caller.call("f") == "again"
    await one.nothing("registrationrejected")


@pytest.mark.parametrize("three", ["balance", "reject", "replace"], indirect=True)
async def test_nobody_can_unregister_the_function_of_another(three: Three) -> None:
    caller, one, two = three
    await register(one)
    await known(caller, "f")
    await two.send("unregisterfunction", id="f")
    await two.flush()
    await answered_by(caller, one)
