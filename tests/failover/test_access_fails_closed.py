"""Whatever decides about access is lost: nobody gets in, nothing is registered, nothing is called."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.access import BOTH, HOOKS, RULES, at, forbidden, gatekeeper, guarded_cluster
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.raw import RawWorker, echo, known, raw_worker


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with guarded_cluster(tmp_path, options={"redis-outage-limit": "1"}) as cluster:
        yield cluster


async def first_frame(url: str) -> Any:
    async with connect(url, compression=None, open_timeout=30) as socket:
        return json.loads(await asyncio.wait_for(socket.recv(), 30))


async def refused(url: str) -> bool:
    frame = await first_frame(url)
    assert frame["type"] != "workerregistered", "it was let in"
    return bool(frame["error"]["code"] == "AUTH_ERROR")


async def listed(worker: RawWorker, search: str) -> list[Any]:
    return list((await worker.call("engine::functions::list", {"search": search}))["functions"])


async def test_the_gateway_of_the_deciding_worker_dies(cluster: Cluster) -> None:
    first, second = cluster.gateways
    async with raw_worker(second.url) as free:
        async with gatekeeper(first) as keeper:
            await known(free, "gate::auth", "gate::function")
            hooked = await connect(at(second, HOOKS, "me"), compression=None)
            worker = RawWorker(hooked)
            await worker.expect("workerregistered")
            await worker.announce("hooked")
            keeper.worker._handlers.clear()  # it is asked, and does not answer any more
            waiting = asyncio.create_task(refused(at(second, RULES, "me")))
            await keeper.worker.expect("invokefunction", function_id="gate::auth")
            await worker.register("open::late")
            await keeper.worker.expect("invokefunction", function_id="gate::function")
            first.kill()
            assert await waiting
        await eventually(lambda: refused(at(second, RULES, "me")), within=30)
        await worker.register("open::later")
        await worker.flush()
        assert await listed(free, "open::late") == []
        await worker.close()


async def test_redis_is_gone(cluster: Cluster) -> None:
    first, second = cluster.gateways
    async with gatekeeper(first) as keeper, raw_worker(second.url) as free, raw_worker(at(second, HOOKS)) as guest:
        await free.register("meta::near", echo, metadata={"public": False})
        await known(keeper.worker, "meta::near")
        await keeper.worker.register("gate::all", lambda frame: "passed")
        await known(free, "gate::all")
        async with raw_worker(at(second, BOTH)) as through:
            assert await through.call("open::any", 1) == "passed"
            cluster.valkey.kill()
            assert await refused(at(second, RULES, "me"))
            await forbidden(guest, "meta::near", within=30)
            await forbidden(guest, "meta::unheard", within=30)
            frame = await through.result(await through.begin("open::any", 1), within=30)
            assert frame["error"]["code"] in ("invocation_stopped", "TIMEOUT", "function_not_found")
            await guest.register("open::blind", echo)
            await guest.flush()
            frame = await free.result(await free.begin("open::blind", 1), within=30)
            assert frame.get("error") is not None
        await asyncio.to_thread(cluster.valkey.start)

        async def let_in() -> bool:
            return bool((await first_frame(at(second, RULES, "me")))["type"] == "workerregistered")

        await eventually(let_in, within=40)
