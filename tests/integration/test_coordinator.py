"""Coordinators on real buses, with nodes that play gateway and shard."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from coordinator.cleanup import TOLD
from coordinator.events import FunctionsPoll
from coordinator.service import CoordinatorService, serve
from coordinator.workers import WorkerRecord
from iii_cluster.bus.envelopes import (
    Cleanup,
    CleanupDone,
    FunctionOwners,
    Invoke,
    Owner,
    Trigger,
    TriggerSnapshot,
    Watch,
    WorkerDown,
    WorkersAnnounced,
    WorkerUp,
)
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from iii_cluster.cluster.scripts import Scripts
from iii_cluster.config.settings import Settings
from iii_cluster.node.node import Node
from tests.support.eventually import eventually
from tests.support.valkey import ValkeyServer

CONN = 7  # connection of the function that the events are fired at


class Lab:
    """Nodes of one cluster in this process."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.settings = Settings(cluster="test", redis_urls=(url,), lease_ttl=0.8, lease_interval=0.1, console="off")
        self._stack = stack

    async def node(self, role: Role, number: int) -> Node:
        node = Node(NodeInfo(id=f"{role}-{number}", role=role), self.settings)
        await node.start()
        self._stack.push_async_callback(node.stop)
        return node

    async def coordinator(self, number: int) -> tuple[Node, CoordinatorService]:
        node = await self.node(Role.COORDINATOR, number)
        service = await serve(node)
        self._stack.push_async_callback(service.stop, 0)
        await node.membership.joined()
        await service.start()
        return node, service

    async def gateway(self, number: int = 1) -> "Gateway":
        gateway = Gateway(await self.node(Role.GATEWAY, number))
        await gateway.node.membership.joined()
        return gateway

    async def shard(self, number: int = 1) -> "Shard":
        shard = Shard(await self.node(Role.SHARD, number))
        await shard.node.membership.joined()
        return shard


class Gateway:
    """Tells the leader of its workers and notes what it is asked to clean up and to invoke."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.log: list[str] = []
        node.bus.on(Cleanup, self._on_cleanup)
        node.bus.on(Invoke, lambda _node, invoke: self.log.append(event_text(invoke.data)))

    def tell(self, *envelopes: WorkerUp | WorkerDown | WorkersAnnounced) -> None:
        for envelope in envelopes:
            self.node.bus.send(self.node.membership.map.leader, envelope)

    def _on_cleanup(self, leader: str, cleanup: Cleanup) -> None:
        if cleanup.step != TOLD:  # what is told shows as an event
            self.log.append(cleanup_text(cleanup))
        self.node.bus.send(leader, CleanupDone(cleanup.job, cleanup.step))


class Shard:
    """Has one function, bound to every trigger type that is watched; notes clean-ups."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.log: list[str] = []
        self.functions: dict[str, bytes] = {}
        node.bus.on(Cleanup, self._on_cleanup)
        node.bus.on(Watch, self._on_watch)
        node.asker.answer("registry.digest", self._digest)
        node.asker.answer("functions.list", self._list)

    def has_slots(self) -> bool:
        return self.node.membership.map.slots[0].node == self.node.info.id

    def _on_cleanup(self, leader: str, cleanup: Cleanup) -> None:
        self.log.append(cleanup_text(cleanup))
        self.node.bus.send(leader, CleanupDone(cleanup.job, cleanup.step))

    def _on_watch(self, watcher: str, watch: Watch) -> None:
        for key in watch.keys:
            if key.startswith("triggers:"):
                trigger = Trigger("t", key.removeprefix("triggers:"), "on::event")
                self.node.bus.send(watcher, TriggerSnapshot(key, 1, [trigger]))
            else:
                self.node.bus.send(watcher, FunctionOwners(key, 1, [Owner("gateway-1", CONN, "listener")]))

    def _digest(self, _node: str, _body: Any) -> dict[str, Any]:
        return {"count": len(self.functions), "digest": sum(map(len, self.functions)), "filling": False}

    def _list(self, _node: str, _body: Any) -> list[dict[str, Any]]:
        return [
            {"id": name, "namespace": "default", "owners": ["w"], "definition": definition}
            for name, definition in self.functions.items()
        ]


def event_text(data: bytes) -> str:
    event = json.loads(data)
    return f"{event['event']} {event.get('worker_id', '')}".strip()


def cleanup_text(cleanup: Cleanup) -> str:
    return f"{cleanup.step} {' '.join(owner.worker for owner in cleanup.owners)}"


@pytest.fixture
async def lab(valkey: ValkeyServer) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        yield Lab(valkey.url, stack)


def watching(service: CoordinatorService) -> Callable[[], bool]:
    """Whether the service has heard of the triggers it fires."""
    return lambda: service.describe()["triggers"] == 2


async def records(node: Node) -> dict[str, WorkerRecord]:
    stored: dict[bytes, bytes] = await node.redis.hgetall(node.keys.workers)  # type: ignore[assignment]
    return {worker.decode(): msgspec.msgpack.decode(body, type=WorkerRecord) for worker, body in stored.items()}


def has_records(node: Node, *workers: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return set(await records(node)) == set(workers)

    return check


async def test_the_first_coordinator_leads_and_nodes_join_with_slots(lab: Lab) -> None:
    leader, _service = await lab.coordinator(1)
    shard, gateway = await asyncio.gather(lab.shard(), lab.gateway())
    await eventually(lambda: len(leader.membership.map.nodes) == 3)
    for node in (leader, shard.node, gateway.node):
        await eventually(lambda node=node: node.membership.map == leader.membership.map)  # type: ignore[misc]
    current = leader.membership.map
    assert current.leader == "coordinator-1"
    assert {owner.node for owner in current.slots} == {"shard-1"}


async def test_a_silent_node_is_removed_and_one_that_leaves_is_gone_at_once(lab: Lab) -> None:
    leader, _service = await lab.coordinator(1)
    scripts = Scripts(leader.redis, leader.keys)
    silent = NodeInfo(id="shard-8", role=Role.SHARD)

    async def joins() -> bool:
        await scripts.renew_lease(silent, 300, (0, 0))
        return silent.id in leader.membership.map.nodes

    async def can_not_renew() -> bool:
        return not (await scripts.renew_lease(silent, 1, (0, 0))).renewed

    await eventually(joins)
    await eventually(lambda: silent.id not in leader.membership.map.nodes)
    await eventually(can_not_renew)
    shard = await lab.shard(9)
    await shard.node.membership.leave()
    await eventually(lambda: "shard-9" not in leader.membership.map.nodes)


async def test_a_standby_takes_over_with_a_higher_term(lab: Lab) -> None:
    _first, service = await lab.coordinator(1)
    second, standby = await lab.coordinator(2)
    assert standby.describe()["leading"] is False
    before = second.membership.map
    await service.stop(0)
    await eventually(lambda: standby.describe()["leading"])
    after = second.membership.map
    assert after.leader == "coordinator-2"
    assert after.term == before.term + 1
    assert after.epoch > before.epoch


async def test_a_worker_that_leaves_is_cleaned_up_in_order_before_the_event(lab: Lab) -> None:
    leader, service = await lab.coordinator(1)
    shard, gateway = await asyncio.gather(lab.shard(), lab.gateway())
    await eventually(watching(service))
    gateway.tell(WorkerUp(1, "w"))
    await eventually(lambda: gateway.log == ["worker_connected w"])
    await eventually(has_records(leader, "w"))
    gateway.tell(WorkerDown(1, "w"))
    await eventually(lambda: gateway.log == ["worker_connected w", "invocations w", "worker_disconnected w"])
    assert shard.log == ["functions w", "triggers w"]
    await eventually(has_records(leader))


async def test_the_workers_of_a_dead_gateway_are_cleaned_up(lab: Lab) -> None:
    leader, service = await lab.coordinator(1)
    _shard, gateway, other = await asyncio.gather(lab.shard(), lab.gateway(1), lab.gateway(2))
    await eventually(watching(service))
    other.tell(WorkerUp(1, "a"), WorkerUp(2, "b"))
    await eventually(has_records(leader, "a", "b"))
    await other.node.membership.leave()
    await eventually(lambda: gateway.log[-2:] == ["worker_disconnected a", "worker_disconnected b"])
    await eventually(has_records(leader))


async def test_the_next_leader_finishes_the_clean_up(lab: Lab) -> None:
    first, service = await lab.coordinator(1)
    second, standby = await lab.coordinator(2)
    shard, gateway = await asyncio.gather(lab.shard(), lab.gateway())
    await eventually(watching(standby))
    gateway.tell(WorkerUp(1, "kept"), WorkerUp(2, "lost"))
    await eventually(has_records(first, "kept", "lost"))
    await service.stop(0)
    await eventually(lambda: gateway.node.membership.map.leader == second.info.id)
    gateway.log.clear()
    gateway.tell(WorkerUp(1, "kept", again=True), WorkersAnnounced(gateway.node.membership.map.epoch))
    await eventually(lambda: gateway.log == ["invocations lost", "worker_disconnected lost"])
    assert shard.log == ["functions lost", "triggers lost"]
    await eventually(has_records(second, "kept"))


async def test_what_a_standby_hears_of_workers_is_ignored(lab: Lab) -> None:
    leader, _service = await lab.coordinator(1)
    standby, service = await lab.coordinator(2)
    gateway = await lab.gateway()
    gateway.node.bus.send(standby.info.id, WorkerUp(1, "stray"))
    gateway.node.bus.send(standby.info.id, WorkerDown(1, "stray"))
    gateway.tell(WorkerUp(2, "w"))
    await eventually(has_records(leader, "w"))
    await eventually(lambda: standby.bus.stats.envelopes_in >= 2)
    assert service.describe()["workers"] == service.describe()["cleaning"] == 0


async def test_a_redis_that_lost_its_memory_is_filled_again(lab: Lab, valkey: ValkeyServer) -> None:
    leader, service = await lab.coordinator(1)
    shard, gateway = await asyncio.gather(lab.shard(), lab.gateway())
    gateway.tell(WorkerUp(1, "w"))
    await eventually(has_records(leader, "w"))
    await eventually(lambda: len(leader.membership.map.nodes) == 3)
    maps: list[ClusterMap] = []
    shard.node.membership.subscribe(lambda _old, new: maps.append(new))
    valkey.restart()
    await leader.redis.connection_pool.disconnect()
    await eventually(lambda: shard.node.membership.healthy and gateway.node.membership.healthy)
    await eventually(lambda: service.describe()["leading"])
    await eventually(has_records(leader, "w"))
    # Whoever joins now proves that maps are written again; nobody was lost meanwhile.
    await lab.shard(2)
    await eventually(lambda: maps and "shard-2" in maps[-1].nodes)
    assert all({"coordinator-1", "shard-1", "gateway-1"} <= set(seen.nodes) for seen in maps)


async def test_a_redis_that_hangs_longer_than_leases_live_costs_no_node_its_place(
    lab: Lab, valkey: ValkeyServer
) -> None:
    leader, service = await lab.coordinator(1)
    shard = await lab.shard()
    maps: list[ClusterMap] = []
    leader.membership.subscribe(lambda _old, new: maps.append(new))
    valkey.pause()
    await eventually(lambda: not leader.membership.healthy and not shard.node.membership.healthy)
    valkey.resume()
    await eventually(lambda: service.describe()["leading"] and shard.node.membership.healthy)
    await lab.shard(2)
    assert maps
    assert all("shard-1" in seen.nodes for seen in maps)


async def test_changed_functions_are_told_once(lab: Lab) -> None:
    leader, service = await lab.coordinator(1)
    shard, gateway = await asyncio.gather(lab.shard(), lab.gateway())
    await eventually(watching(service))
    poll: FunctionsPoll = service.functions_poll
    await poll.poll()
    shard.functions["math::add"] = b"{}"
    await poll.poll()
    await poll.poll()
    await eventually(lambda: gateway.log == ["functions_changed"])
    shard.functions.clear()
    await poll.poll()
    await eventually(lambda: gateway.log == ["functions_changed"] * 2)
    assert await leader.redis.get(leader.keys.functions_digest) is not None


async def test_records_and_digest_of_a_former_term_are_not_written(lab: Lab) -> None:
    leader, service = await lab.coordinator(1)
    await eventually(lambda: service.describe()["leading"])
    scripts = Scripts(leader.redis, leader.keys)
    term = service.describe()["term"]
    body = msgspec.msgpack.encode(WorkerRecord("gateway-1", 1))
    assert await scripts.write_records(term, {"kept": body, "erased": body}, [])
    assert await scripts.write_digest(term, "1:a")
    assert not await scripts.write_records(term - 1, {"late": body}, ["kept"])
    assert not await scripts.write_digest(term - 1, "2:b")
    assert await scripts.write_records(term, {}, ["erased"])
    assert set(await records(leader)) == {"kept"}
    assert await leader.redis.get(leader.keys.functions_digest) == b"1:a"


async def test_a_cluster_that_begins_anew_has_higher_fencing_tokens_than_the_one_before(
    lab: Lab, valkey: ValkeyServer
) -> None:
    """Adapters may have stored these on a server that remembers when the cluster's own has forgotten."""
    tokens = []
    for number in (1, 2):
        node, service = await lab.coordinator(number)
        shard = await lab.shard(number)
        await eventually(shard.has_slots)
        tokens.append(node.membership.map.slots[0].since)
        await service.stop(0)
        await shard.node.stop()
        await node.stop()
        valkey.execute("FLUSHALL")
    assert tokens[0] < tokens[1]
