"""A fake cluster whose processes run the queue module, for tests of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.config.settings import Settings
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.imports import convert
from iii_cluster.modules.module import Request
from iii_cluster.modules.queue.config import Config
from iii_cluster.modules.queue.module import QueueModule
from tests.support.engine import FakeCluster, FakeEngine
from tests.support.eventually import eventually


class Node:
    """One process with the module."""

    def __init__(self, engine: FakeEngine, module: QueueModule) -> None:
        self.engine = engine
        self.module = module
        self.host = ModuleHost([module])

    async def call(self, function: str, data: Any = None, **request: Any) -> Any:
        raw = await self.host.run(function, Request(function, json.dumps(data).encode(), **request))
        return None if raw is None else json.loads(raw)


class Queues:
    """`queues` as in a configuration file; `module` is whatever else it says of the module."""

    def __init__(
        self, url: str, queues: dict[str, Any] | None = None, module: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        self.cluster = FakeCluster()
        self.gateway: Node
        self.shards: list[Node] = []
        self._url = url
        self._config: dict[str, Any] = {"queue_configs": queues or {}, **(module or {})}
        self._settings = Settings(**settings)
        self._nodes: list[Node] = []

    async def start(self, shards: int = 1) -> "Queues":
        self.gateway = await self.node(Role.GATEWAY)
        for _ in range(shards):
            await self.shard()
        return self

    async def shard(self, token: int = 1) -> Node:
        """Owns every slot; an earlier one had better have lost them, or a lower token."""
        node = await self.node(Role.SHARD, token)
        self.shards.append(node)
        return node

    async def node(self, role: Role, token: int = 1) -> Node:
        engine = self.cluster.node(self._url, role, self._settings)
        engine.ownership.give(range(SLOTS), token)
        node = Node(engine, QueueModule(convert(self._config, Config)))
        await node.host.initialize(engine)
        self._nodes.append(node)
        return node

    async def close(self) -> None:
        for node in reversed(self._nodes):
            await node.host.shutdown()
        await self.cluster.close()

    # What workers do

    async def enqueue(self, queue: str, function: str, data: Any, **more: Any) -> str:
        said = await self.gateway.call(
            "engine::queue::enqueue", {"queue": queue, "function_id": function, "data": data, **more}
        )
        receipt: str = said["messageReceiptId"]
        return receipt

    async def publish(self, topic: str, data: Any) -> None:
        assert await self.gateway.call("iii::durable::publish", {"topic": topic, "data": data}) is None

    async def subscribe(self, trigger: Trigger) -> None:
        """Returns when the topic knows the trigger's group."""
        self.cluster.put(trigger)
        self.gateway.host.types[trigger.type].registered(trigger)  # type: ignore[misc]
        await asyncio.sleep(0)

    async def unsubscribe(self, trigger: Trigger) -> None:
        self.cluster.drop(trigger.id)
        self.gateway.host.types[trigger.type].unregistered(trigger)  # type: ignore[misc]
        await asyncio.sleep(0)

    async def stats(self, name: str) -> dict[str, Any]:
        said: dict[str, Any] = await self.gateway.call("engine::queue::topic_stats", {"topic": name})
        return said

    async def dead(self, name: str, **page: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self.gateway.call("engine::queue::dlq_messages", {"topic": name, **page})
        return rows

    async def emptied(self, name: str) -> None:
        """Returns when nothing waits and nothing is in flight."""

        async def empty() -> bool:
            return bool((await self.stats(name))["depth"] == 0)

        await eventually(empty)


@asynccontextmanager
async def queues(
    url: str,
    named: dict[str, Any] | None = None,
    shards: int = 1,
    module: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Queues]:
    made = Queues(url, named, module, **settings)
    try:
        yield await made.start(shards)
    finally:
        await made.close()


def subscriber(id: str, topic: str, function: str, *, namespace: str = "default", **config: Any) -> Trigger:
    """A `durable:subscriber` trigger."""
    body = msgspec.json.encode({"topic": topic, **config})
    return Trigger(id, "durable:subscriber", function, body, namespace=namespace)


def consumer(id: str, topic: str, function: str, **config: Any) -> Trigger:
    """A `queue` trigger."""
    return Trigger(id, "queue", function, msgspec.json.encode({"topic": topic, **config}))


class Gate:
    """A handler whose calls wait until they are let go; counts how many wait at once."""

    def __init__(self, answer: Callable[[Any], Any] | None = None) -> None:
        self.waiting: list[tuple[Any, asyncio.Event]] = []
        self.most = 0
        self.seen: list[Any] = []
        self._answer = answer

    async def __call__(self, data: Any) -> Any:
        event = asyncio.Event()
        self.seen.append(data)
        entry = (data, event)
        self.waiting.append(entry)
        self.most = max(self.most, len(self.waiting))
        await event.wait()
        return self._answer(data) if self._answer else None

    def let_go(self, *which: Any) -> None:
        """These, or all that wait now."""
        for entry in list(self.waiting):
            if not which or entry[0] in which:
                self.waiting.remove(entry)
                entry[1].set()

    async def holds(self, count: int) -> None:
        await eventually(lambda: len(self.waiting) == count)


def queue_environment(queues: dict[str, Any]) -> dict[str, str]:
    """For the environment of real processes: these queues."""
    entry = {"name": "iii-queue", "config": {"queue_configs": queues}}
    return {"III_CLUSTER_MODULES": json.dumps([entry])}
