"""A loaded cluster whose Redis is behind a proxy, and what has to hold of it during trouble and afterwards."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster, ClusterNode
from tests.support.eventually import eventually
from tests.support.history import History, calling
from tests.support.proxy import Proxy
from tests.support.raw import RawWorker, echo, raw_worker
from tests.support.valkey import ValkeyServer

HEAL_TIMEOUT = 40.0  # seconds until everything must be well again

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class World:
    """Two gateways, two shards, two coordinators. Workers `caller` and `near` are on the first gateway, `far` and
    `leaver` on the second. Calls of `caller` go on all the time, to both."""

    def __init__(self, cluster: Cluster, proxy: Proxy, replica: ValkeyServer) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.replica = replica  # has what the cluster's own server has
        self.caller: RawWorker
        self.near: RawWorker
        self.far: RawWorker
        self.leaver: RawWorker
        self.near_calls: History
        self.far_calls: History
        self.functions = {"near::f", "far::f", "far::old", "leaver::f"}
        self.triggers = {"near-trigger", "far-trigger"}

    @property
    def redis(self) -> ValkeyServer:
        return self.cluster.valkey

    async def populate(self, stack: AsyncExitStack) -> None:
        here, there = self.cluster.gateways
        self.caller = await stack.enter_async_context(raw_worker(here.url, name="caller"))
        self.near = await stack.enter_async_context(raw_worker(here.url, name="near"))
        self.far = await stack.enter_async_context(raw_worker(there.url, name="far"))
        self.leaver = await stack.enter_async_context(raw_worker(there.url, name="leaver"))
        await self.near.register("near::f", echo)
        await self.far.register("far::f", echo)
        await self.far.register("far::old", echo)
        await self.leaver.register("leaver::f", echo)
        await self.near.send("registertriggertype", id="near-type", description="")
        for worker, id in ((self.near, "near-trigger"), (self.far, "far-trigger")):
            await worker.send("registertrigger", id=id, trigger_type="near-type", function_id="near::f", config=None)
        await eventually(lambda: self.listed(self.caller), HEAL_TIMEOUT)
        self.near_calls = await stack.enter_async_context(calling(self.caller, "near::f"))
        self.far_calls = await stack.enter_async_context(calling(self.caller, "far::f"))
        await self.going_on()

    async def change(self) -> None:
        """Registrations come and go, and a worker leaves."""
        await self.near.register("near::late", echo)
        await self.far.send("unregisterfunction", id="far::old")
        await self.far.send("unregistertrigger", id="far-trigger", trigger_type="near-type")
        await self.leaver.close()
        self.functions = {"near::f", "far::f", "near::late"}
        self.triggers = {"near-trigger"}

    async def going_on(self, *, far: bool = True) -> None:
        """Returns when more calls were answered, on the same gateway and across."""
        await self.near_calls.more(20)
        if far:
            await self.far_calls.more(20)

    async def listed(self, worker: RawWorker) -> bool:
        """Whether `worker` is shown exactly what is registered, and every trigger has its provider."""
        functions = (await worker.call("engine::functions::list", {}, within=30))["functions"]
        of_workers = {row["function_id"] for row in functions if not row["worker_name"].startswith("iii-")}
        assert of_workers == self.functions
        triggers = (await worker.call("engine::registered-triggers::list", {}, within=30))["registered_triggers"]
        assert {(row["id"], row["state"]) for row in triggers} == {(id, "live") for id in self.triggers}
        return True

    async def all_ready(self) -> bool:
        pages = await asyncio.gather(*(readiness(node) for node in self.cluster.nodes))
        assert all(status == 200 for status, _ in pages), pages
        return True

    async def none_ready(self) -> bool:
        pages = await asyncio.gather(*(readiness(node) for node in self.cluster.nodes))
        assert all(status == 503 for status, _ in pages), pages
        return True

    async def healed(self) -> None:
        """Every node is ready, everybody sees what is registered, calls go on, and a new gateway joins."""
        await eventually(self.all_ready, HEAL_TIMEOUT)
        await eventually(lambda: self.listed(self.caller), HEAL_TIMEOUT)
        await eventually(lambda: self.listed(self.far), HEAL_TIMEOUT)
        await self.going_on()
        fresh = await asyncio.to_thread(self.cluster.add_gateway)
        async with raw_worker(fresh.url, name="fresh") as newcomer:
            await eventually(lambda: self.listed(newcomer), HEAL_TIMEOUT)
            for function in ("near::f", "near::late", "far::f"):
                assert (await newcomer.call(function, {"n": 1}))["n"] == 1

    async def leader(self) -> ClusterNode:
        """The coordinator that leads."""
        _, page = await asyncio.to_thread(_get, f"{self.cluster.gateways[0].admin_url}/cluster")
        return next(node for node in self.cluster.coordinators if node.id == page["leader"])

    def no_call_failed(self) -> None:
        for history in (self.near_calls, self.far_calls):
            assert not history.failed
            assert not history.mixed_up


async def readiness(node: ClusterNode) -> tuple[int, Any]:
    """Status and body of /readyz."""
    return await asyncio.to_thread(_get, f"{node.admin_url}/readyz")


def _get(url: str) -> tuple[int, Any]:
    try:
        with _direct.open(url, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@asynccontextmanager
async def troubled_world(
    directory: Path, *, durable: bool = False, options: Mapping[str, str] | None = None
) -> AsyncIterator[World]:
    """Starts everything; calls are going on when it is entered. `durable`: Redis keeps its data when it is killed."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(0))
        replica = ValkeyServer(directory, "replica")
        stack.push_async_callback(asyncio.to_thread, replica.close)
        cluster = Cluster(directory, coordinators=2, options={"redis-url": proxy.url, **(options or {})})
        cluster.valkey.close()
        cluster.valkey = ValkeyServer(directory, durable=durable)
        proxy.target = cluster.valkey.port
        stack.push_async_callback(asyncio.to_thread, cluster.stop)
        await asyncio.to_thread(cluster.start)
        await asyncio.to_thread(replica.start)
        await asyncio.to_thread(replica.follow, cluster.valkey)
        world = World(cluster, proxy, replica)
        async with AsyncExitStack() as workers:
            await world.populate(workers)
            yield world
