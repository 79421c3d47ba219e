import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from msgspec.structs import replace

from iii_cluster.bus.ask import AskError
from iii_cluster.bus.envelopes import (
    Announced,
    BindTrigger,
    DropFunction,
    FunctionOwners,
    ProviderAnswer,
    PutFunction,
    PutTrigger,
    PutTriggerType,
    RemoveTrigger,
    Trigger,
    UnbindTrigger,
    Watch,
    encode_envelope,
)
from iii_cluster.cluster import durable
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from iii_cluster.config.settings import Settings
from iii_cluster.modules.host import ModuleHost
from iii_cluster.node.node import Node
from shard import service
from shard.service import ShardService
from tests.support.eventually import eventually
from tests.support.shard import GATEWAYS, ME, OTHER, cluster_map, owner
from tests.support.shard_node import FakeAsker, FakeBus, FakeMembership, FakeNode

A, B = GATEWAYS
ID = "math::add"
T = Trigger("t", "webhook", ID)


@pytest.fixture
async def node(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeNode]:
    monkeypatch.setattr(durable, "RETRY_DELAY", 0.01)
    monkeypatch.setattr(service, "RETRY_DELAY", 0.01)
    fake = FakeNode()
    fake.service = ShardService(cast(Node, fake), ModuleHost([]))
    yield fake
    fake.redis.go_on.set()
    await fake.service.stop(0)


def put(conn: int, id: str = ID, epoch: int = 1) -> PutFunction:
    return PutFunction(epoch, owner(conn), "default", id, conn, b"{}")


async def test_mail_is_handled_and_answered_over_the_bus(node: FakeNode) -> None:
    await node.filled()
    node.bus.get(A, put(1), Watch(1, [f"function:default/{ID}"]))
    ((to, said),) = node.bus.sent
    assert isinstance(said, FunctionOwners)
    assert (to, said.owners) == (A, [owner(1)])


async def test_a_shard_is_ready_once_it_has_adopted_a_map(node: FakeNode) -> None:
    assert node.service is not None
    assert not node.service.ready()
    await node.filled()
    assert node.service.ready()
    assert node.service.ports() == {}


async def test_storage_is_read_after_the_gateways_have_announced(node: FakeNode) -> None:
    node.take(cluster_map(1))
    node.bus.get(A, Announced(1))
    await eventually(lambda: node.describe()["slots"] > 0)
    assert not node.redis.reading.is_set()
    node.keep(T)
    node.bus.get(B, Announced(1))
    await eventually(lambda: node.describe()["bindings"] == 1)
    assert await node.asker.ask("triggers.get", {"id": "t"}) != []


async def test_an_outage_of_storage_delays_durable_triggers_only(node: FakeNode) -> None:
    node.keep(T)
    node.redis.down = True
    node.take(cluster_map(1, gateways=()))
    await eventually(lambda: node.describe()["slots_filling"] > 0)
    node.redis.down = False
    await eventually(lambda: node.describe()["bindings"] == 1 and node.describe()["slots_filling"] == 0)


async def test_what_cannot_be_decoded_is_left_out(node: FakeNode) -> None:
    node.keep(T)
    node.redis.hash[b"broken"] = b"\xff\xff"
    node.redis.hash[b"other"] = encode_envelope(RemoveTrigger("x"))
    node.take(cluster_map(1, gateways=()))
    await eventually(lambda: node.describe()["bindings"] == 1)


async def test_a_removed_durable_trigger_is_deleted_and_then_unbound(node: FakeNode) -> None:
    await node.filled()
    node.keep(T)
    node.bus.get(A, PutTrigger(1, DURABLE, 1, T), BindTrigger(1, DURABLE, 1, T))
    node.redis.down = True
    node.bus.get(B, RemoveTrigger("t"))
    await asyncio.sleep(0)
    assert node.bus.sent == []
    node.redis.down = False
    await eventually(lambda: node.bus.sent == [(ME, UnbindTrigger(DURABLE, "t", "webhook", 1))])
    assert node.redis.hash == {}


async def test_a_map_that_comes_while_storage_is_read_is_adopted_before_anything_is_loaded(node: FakeNode) -> None:
    node.keep(T)
    node.redis.go_on.clear()
    node.take(cluster_map(1, gateways=()))
    await node.redis.reading.wait()
    node.take(cluster_map(2, {OTHER: 2}, gateways=()))
    node.redis.go_on.set()
    await eventually(lambda: node.describe()["slots"] == 0)
    assert node.describe()["bindings"] == 0


async def test_questions_wait_for_the_slot_to_be_filled(node: FakeNode) -> None:
    node.take(cluster_map(1))
    node.bus.get(A, put(1), Announced(1))
    asking = asyncio.ensure_future(node.asker.ask("functions.get", {"id": ID, "epoch": 1}))
    await asyncio.wait([asking], timeout=0.02)
    assert not asking.done()
    node.bus.get(B, Announced(1))
    assert [row["owners"] for row in await asking] == [[owner(1).worker]]


async def test_a_question_about_anothers_slot_is_told_that_it_moved(node: FakeNode) -> None:
    node.take(cluster_map(1, {OTHER: 1}))
    assert node.service is not None
    await node.service.start()
    with pytest.raises(AskError, match="moved"):
        await node.asker.ask("functions.get", {"id": ID})


async def test_a_long_listing_lets_others_work_but_sees_one_map(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ROWS_PER_TURN", 1)
    await node.filled()
    node.bus.get(A, *(put(1, f"math::{number}") for number in range(20)))
    asking = asyncio.ensure_future(node.asker.ask("functions.list"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not asking.done()
    node.take(cluster_map(2, {OTHER: 2}))
    assert len(await asking) == 20
    await eventually(lambda: node.describe()["slots"] == 0)
    assert await node.asker.ask("functions.list") == []


async def test_the_outcome_of_an_offer_is_answered_when_the_provider_answers(node: FakeNode) -> None:
    await node.filled()
    provider = owner(9)
    node.bus.get(A, PutTriggerType(1, provider, "default", "webhook", 1, b"{}"), BindTrigger(1, DURABLE, 1, T))
    asking = asyncio.ensure_future(node.asker.ask("bindings.outcome", {"id": "t", "type": "webhook"}))
    await asyncio.wait([asking], timeout=0.02)
    assert not asking.done()
    node.bus.get(A, ProviderAnswer(provider, "webhook", "t", b"taken"))
    assert await asking == b"taken"


async def test_a_reset_link_fails_questions_and_is_announced_over_again(node: FakeNode) -> None:
    await node.filled()
    node.bus.get(A, put(1))
    assert node.bus.on_reset is not None
    node.bus.on_reset(A)
    assert node.asker.lost == [A]
    assert node.describe()["functions"] == 0
    node.bus.get(A, put(1), Announced(1))
    await eventually(lambda: node.describe()["slots_filling"] == 0)
    assert await node.asker.ask("registry.digest") == {
        "count": 1,
        "digest": (await node.asker.ask("registry.digest"))["digest"],
        "filling": False,
    }


async def test_the_barrier_ends_the_wait_for_a_silent_gateway(node: FakeNode) -> None:
    node.settings = Settings(barrier=0.02)
    assert node.service is not None
    await node.service.stop(0)
    node.bus, node.asker, node.membership = FakeBus(), FakeAsker(), FakeMembership()
    node.service = ShardService(cast(Node, node), ModuleHost([]))
    node.take(cluster_map(1))
    await node.service.start()
    await eventually(lambda: node.describe()["slots_filling"] == 0)


# -- leaving


def draining(epoch: int, slots: dict[str, int], *nodes: str) -> ClusterMap:
    current = cluster_map(epoch, slots)
    return replace(current, nodes=current.nodes | {n: NodeInfo(id=n, role=Role.SHARD, draining=True) for n in nodes})


async def test_a_shard_that_stops_waits_until_its_slots_are_given_away_and_every_gateway_knows(node: FakeNode) -> None:
    assert node.service is not None
    await node.filled()
    stopping = asyncio.create_task(node.service.stop(30))
    node.take(draining(2, {ME: 1}, ME))
    await asyncio.wait([stopping], timeout=0.02)
    assert not stopping.done()
    node.take(draining(3, {OTHER: 3}, ME))
    await eventually(lambda: node.describe()["slots"] == 0)
    node.bus.get(A, RemoveTrigger("t", 2), Announced(3))
    assert [to for to, _ in node.bus.sent] == [OTHER], "what comes late is sent on"
    await asyncio.wait([stopping], timeout=0.02)
    assert not stopping.done()
    node.bus.get(B, Announced(4))
    await stopping


async def test_a_shard_that_nobody_can_relieve_stops_at_once(node: FakeNode) -> None:
    assert node.service is not None
    await node.filled()
    node.take(draining(2, {ME: 1}, ME, OTHER))
    await node.service.stop(30)


async def test_a_shard_that_is_not_relieved_in_time_stops_all_the_same(
    node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    assert node.service is not None
    await node.filled()
    await node.service.stop(0.02)
    assert "action=slots_kept count=1024" in caplog.text


async def test_a_shard_that_never_was_in_the_map_stops_at_once(node: FakeNode) -> None:
    assert node.service is not None
    await node.service.stop(30)


async def test_a_new_incarnation_starts_empty_and_finishes_what_storage_has_to_forget(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CLOSE_TIMEOUT", 0.02)
    assert node.service is not None
    await node.filled()
    node.keep(T)
    node.bus.get(A, put(1), PutTrigger(1, DURABLE, 1, T))
    node.redis.down = True
    node.bus.get(B, RemoveTrigger("t"))
    again = FakeNode()
    again.redis.hash = node.redis.hash
    again.service = await node.service.rejoin(cast(Node, again))
    try:
        assert not node.service.ready()
        assert again.describe()["functions"] == 0
        await eventually(lambda: again.redis.hash == {})
    finally:
        await again.service.stop(0)


# -- who is expected back


async def test_who_asks_for_a_function_whose_worker_does_not_come_back_is_answered_in_the_end(node: FakeNode) -> None:
    node.settings = Settings(barrier=30.0, reattach_window=0.02)
    assert node.service is not None
    await node.service.stop(0)
    node.bus, node.asker, node.membership = FakeBus(), FakeAsker(), FakeMembership()
    node.service = ShardService(cast(Node, node), ModuleHost([]))
    await node.filled()
    node.bus.get(A, put(1), DropFunction(owner(1), "default", ID, back=True))
    node.bus.get(B, Watch(1, [f"function:default/{ID}"]))
    assert node.bus.sent == []
    assert node.describe()["expected"] == 1
    await eventually(lambda: node.bus.sent)
    ((to, said),) = node.bus.sent
    assert isinstance(said, FunctionOwners)
    assert (to, said.owners) == (B, [])


# -- readers and the writer


async def test_a_hand_over_comes_to_an_end_under_a_flood_of_mail_and_questions(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ROWS_PER_TURN", 1)
    await node.filled()
    node.bus.get(A, *(put(1, f"math::{number}") for number in range(20)))
    flooding = True
    listings: list[int] = []

    async def ask() -> None:
        """There is never a moment without somebody who reads."""
        while flooding:
            listings.append(len(await node.asker.ask("functions.list")))

    async def write() -> None:
        number = 0
        while flooding:
            number += 1
            node.bus.get(A, put(2, f"flood::{number}", epoch=node.membership.map.epoch))
            await asyncio.sleep(0)

    flood = [asyncio.create_task(work()) for work in (ask, ask, ask, write)]
    for epoch in range(2, 12):
        slots = {OTHER: epoch} if epoch % 2 == 0 else {ME: epoch}
        node.take(cluster_map(epoch, slots))
        for gateway in GATEWAYS:
            node.bus.get(gateway, Announced(epoch))
        await eventually(lambda slots=slots: (node.describe()["slots"] > 0) == (ME in slots))  # type: ignore[misc]
        await eventually(lambda: node.describe()["slots_filling"] == 0)
    flooding = False
    await asyncio.gather(*flood)
    assert 0 in listings
