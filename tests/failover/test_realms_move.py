"""A function's slot moves while the worker without rules that serves it is away: nobody under rules gets its calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.access import RULES, at, gatekeeper, guarded_cluster, silence
from tests.support.cluster import Cluster
from tests.support.raw import RawWorker, echo, known, raw_worker

FUNCTION = "open::pay"


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The parameter is how many seconds a worker has to come back."""
    with guarded_cluster(tmp_path, options={"reattach-window": str(request.param)}) as cluster:
        yield cluster


def kill_shards(cluster: Cluster) -> None:
    for shard in cluster.shards:
        shard.kill()


async def new_shard(cluster: Cluster, observer: RawWorker) -> None:
    """Returns when it has taken over from all that were killed."""
    cluster.add_shard()
    await observer.register("fresh::mark", echo)
    assert await observer.call("fresh::mark", 1, within=20) == 1
    await known(observer, FUNCTION)


@pytest.mark.parametrize("cluster", [15], indirect=True)
async def test_a_guest_gets_no_calls_of_a_worker_that_was_lost_with_its_gateway_and_shard(cluster: Cluster) -> None:
    first, second = cluster.gateways
    async with gatekeeper(second) as keeper, raw_worker(at(second, RULES, "guest")) as guest:
        caller = keeper.worker
        async with raw_worker(first.url) as lost:
            await lost.register(FUNCTION, echo)
            await known(caller, FUNCTION)
            first.kill()
        kill_shards(cluster)
        await guest.register(FUNCTION, lambda _: "stolen")
        await new_shard(cluster, caller)
        call = await caller.begin(FUNCTION, 1)
        await silence(guest, "invokefunction", function_id=FUNCTION)
        async with raw_worker(second.url) as back:
            await back.register(FUNCTION, lambda _: "mine")
            assert (await caller.result(call))["result"] == "mine"


@pytest.mark.parametrize("cluster", [2], indirect=True)
async def test_what_a_guest_has_served_before_it_serves_again_when_nobody_else_came(cluster: Cluster) -> None:
    first, second = cluster.gateways
    async with gatekeeper(second) as keeper, raw_worker(at(second, RULES, "guest")) as guest:
        await guest.register(FUNCTION, echo)
        await known(keeper.worker, FUNCTION)
        assert await keeper.worker.call(FUNCTION, "first") == "first"
        async with raw_worker(first.url) as caller:
            kill_shards(cluster)
            await new_shard(cluster, keeper.worker)
            call = await caller.begin(FUNCTION, "asked")
            assert await keeper.worker.call(FUNCTION, "cached") == "cached"
            assert (await caller.result(call))["result"] == "asked"
