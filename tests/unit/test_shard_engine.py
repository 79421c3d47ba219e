"""Modules in a shard: their life, their calls, what they adopt."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, cast

import pytest

from iii_cluster.bus.ask import AskError
from iii_cluster.bus.envelopes import (
    Announced,
    BindTrigger,
    FunctionOwners,
    Invoke,
    Nudge,
    Result,
    Served,
    Trigger,
    TriggerSnapshot,
    Watch,
)
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.modules.adopting import FIND
from iii_cluster.modules.calling import HandlerError, call
from iii_cluster.modules.engine import Adopted, Engine
from iii_cluster.modules.host import ModuleFailed, ModuleHost
from iii_cluster.modules.module import Function, Module, TriggerType
from iii_cluster.node.node import Node
from iii_cluster.protocol.errors import EngineError
from iii_cluster.routing.caller import MOVED
from shard import engine as engines
from shard.flushed import FLUSHED
from shard.service import ShardService
from tests.support.eventually import eventually
from tests.support.shard import GATEWAYS, ME, OTHER, cluster_map, owner
from tests.support.shard_node import FakeNode

A, B = GATEWAYS
KEY = "function:default/f"


async def answer_nothing(_input: dict[str, Any], _request: object) -> None:
    return None


class Watcher(Module):
    """Notes what happens to it."""

    id: ClassVar[str] = "watcher"
    name: ClassVar[str] = "Watcher"

    def __init__(self) -> None:
        super().__init__(None)
        self.log: list[str] = []
        self.tokens: list[int] = []
        self.woken: list[str] = []
        self.engine: Engine
        self.trouble: Exception | None = None

    def functions(self) -> Mapping[str, Function[Any]]:
        return {"watcher::run": Function(answer_nothing, dict[str, Any])}

    def trigger_types(self) -> list[TriggerType]:
        return [TriggerType(id="watched", aliases=("old",))]

    async def initialize(self, engine: Engine) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.engine = engine
        self.log.append(f"begun {engine.node}")
        engine.on_nudge("w", self.woken.append)
        engine.ownership.subscribe(lambda: self.tokens.append(engine.ownership.token("w:1")))

    async def shutdown(self) -> None:
        self.log.append(f"ended {self.engine.ownership.token('w:1')}")

    def describe(self) -> Mapping[str, Any]:
        return {"woken": len(self.woken)}


@pytest.fixture
def module() -> Watcher:
    return Watcher()


@pytest.fixture
async def node(module: Watcher, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeNode]:
    monkeypatch.setattr(engines, "TICK", 0.01)
    fake = FakeNode()
    fake.service = ShardService(cast(Node, fake), ModuleHost([module]))
    yield fake
    await fake.service.stop(0)


def gone(epoch: int, *gateways: str) -> ClusterMap:
    """A map that has lost gateways; ours since epoch 1."""
    return cluster_map(epoch, {ME: 1}, gateways)


# -- life


async def test_modules_begin_when_there_is_a_map_and_end_when_the_slots_are_given_away(
    node: FakeNode, module: Watcher
) -> None:
    assert node.service is not None
    assert not node.service.ready()
    assert module.log == []
    await node.filled()
    assert node.service.ready()
    assert module.log == [f"begun {ME}"]
    assert node.describe()["modules"] == {"watcher": {"woken": 0}}
    stopping = asyncio.create_task(node.service.stop(10))
    await asyncio.sleep(0)
    node.take(cluster_map(2, {OTHER: 2}))
    for gateway in GATEWAYS:
        node.bus.get(gateway, Announced(2))
    await stopping
    assert module.tokens == [0]
    assert module.log == [f"begun {ME}", "ended 0"]


async def test_a_module_that_cannot_begin_keeps_the_shard_from_starting(node: FakeNode, module: Watcher) -> None:
    module.trouble = OSError("no such server")
    node.take(cluster_map(1))
    assert node.service is not None
    with pytest.raises(ModuleFailed, match="watcher could not begin: no such server"):
        await node.service.start()
    assert not node.service.ready()


async def test_modules_begin_anew_with_the_next_incarnation(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    assert node.service is not None
    again = FakeNode()
    again.info = NodeInfo(id=f"{ME}.2", role=Role.SHARD)
    node.service = await node.service.rejoin(cast(Node, again))
    assert module.log == [f"begun {ME}", "ended 1"]
    assert not node.service.ready()
    slots = (SlotOwner(f"{ME}.2", 3),) * SLOTS
    nodes = {**cluster_map(3).nodes, f"{ME}.2": again.info}
    again.take(ClusterMap(term=1, epoch=3, nodes=nodes, slots=slots))
    await node.service.rejoined()
    assert module.log[2:] == [f"begun {ME}.2"]
    assert module.engine.ownership.token("w:1") == 3


async def test_a_shard_without_a_lease_owns_nothing_for_its_modules(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    for healthy in (False, True):
        node.membership.healthy = healthy
        for tell in node.membership.lease_subscribers:
            tell()
    assert module.tokens == [0, 1]


async def test_triggers_of_a_modules_type_need_no_provider(node: FakeNode) -> None:
    await node.filled()
    node.bus.get(A, Watch(1, ["triggers:watched"]))
    node.bus.get(A, BindTrigger(1, owner(1), 1, Trigger("t", "watched", "f")))
    said = [said for _, said in node.bus.sent if isinstance(said, TriggerSnapshot)]
    assert said[-1].triggers == []
    rows = await node.asker.ask("triggers.list")
    assert [(row["id"], row["state"]) for row in rows] == [("t", "live")]


# -- calls


async def test_a_call_ends_with_the_result(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    calling = asyncio.create_task(call(module.engine, "f", b"1", timeout=30))
    await eventually(lambda: (ME, Watch(1, [KEY])) in node.bus.sent)
    node.bus.get(ME, FunctionOwners(KEY, 1, [owner(3, B)]))
    invoke = next(said for to, said in node.bus.sent if isinstance(said, Invoke) and to == B)
    node.bus.get(B, Result(invoke.id, b"2"))
    assert await calling == b"2"


async def test_functions_of_modules_are_called_at_gateways(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    module.engine.invoke("watcher::run", b"{}")
    ((to, invoke),) = [(to, said) for to, said in node.bus.sent if isinstance(said, Invoke)]
    assert to in GATEWAYS
    assert invoke.conn == 0


async def test_calls_end_when_the_shard_stops(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    assert node.service is not None
    calling = asyncio.create_task(call(module.engine, "watcher::run", b"{}", timeout=30))
    await eventually(lambda: node.describe()["calls"] == 1)
    await node.service.stop(0)
    with pytest.raises(HandlerError, match="invocation_stopped"):
        await calling


async def test_calls_over_a_link_that_was_reset_are_stopped(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    node.take(gone(2, A))
    calling = asyncio.create_task(call(module.engine, "watcher::run", b"{}", timeout=30))
    await eventually(lambda: node.describe()["calls"] == 1)
    assert node.bus.on_reset is not None
    node.bus.on_reset(A)
    with pytest.raises(HandlerError, match="link to gateway-a was reset"):
        await calling


async def test_a_gateway_that_hands_a_call_over_is_told_whether_it_is_in_flight(
    node: FakeNode, module: Watcher
) -> None:
    await node.filled()
    module.engine.invoke("watcher::run", b"{}")
    ((to, invoke),) = [(to, said) for to, said in node.bus.sent if isinstance(said, Invoke)]
    (other,) = set(GATEWAYS) - {to}
    said = await node.asker.ask(MOVED, {"calls": [invoke.id, "unknown"], "node": other, "conn": 5})
    assert said == [invoke.id]


async def test_whether_a_function_is_served_is_asked_once(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    asking = asyncio.create_task(module.engine.serves("f"))
    await asyncio.sleep(0)
    assert (ME, Watch(1, ["served:default/f"])) in node.bus.sent
    node.bus.get(ME, Served("served:default/f", True))
    assert await asking
    node.bus.sent.clear()
    assert await module.engine.serves("f")
    assert node.bus.sent == []


async def test_a_question_no_shard_answers_fails(
    node: FakeNode, module: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "PATIENCE", 0.02)
    await node.filled()
    with pytest.raises(EngineError, match="TIMEOUT"):
        await module.engine.serves("f")


# -- nudges


async def test_nudges_are_told_by_their_kind(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    node.bus.get(A, Nudge(["w:1", "other:2", "w:3"]))
    assert module.woken == ["w:1", "w:3"]


async def test_nudges_of_a_tick_travel_together(node: FakeNode, module: Watcher) -> None:
    await node.filled()
    for key in ("w:1", "w:2", "w:1"):
        module.engine.nudge(key)
    await eventually(lambda: node.bus.sent)
    assert node.bus.sent == [(ME, Nudge(["w:1", "w:2"]))]


# -- adopting


class Adoption:
    """One module that takes deliveries over."""

    def __init__(self, node: FakeNode, module: Watcher) -> None:
        self.node = node
        self.module = module
        self.ends: list[tuple[str, bytes]] = []
        node.asker.told[FLUSHED] = lambda _node, _epoch: True
        node.asker.told[FIND] = lambda _node, _body: {"serving": {}, "ended": {}}

    async def adopt(self, *names: str) -> Adopted:
        return await self.module.engine.adopt(names, lambda name, error: self.ends.append((name, error)))

    def serving(self, at: str, **ids: str) -> None:
        """`at` serves deliveries, by name the id."""
        self.node.asker.told[FIND] = lambda node, _body: {"serving": ids if node == at else {}, "ended": {}}


@pytest.fixture
async def adoption(node: FakeNode, module: Watcher) -> Adoption:
    await node.filled()
    return Adoption(node, module)


async def test_what_all_gateways_know_is_adopted(adoption: Adoption) -> None:
    known = {A: {"serving": {"one": "id-1"}, "ended": {}}, B: {"serving": {}, "ended": {"two": b"", "three": b"no"}}}
    adoption.node.asker.told[FIND] = lambda node, _body: known[node]
    adopted = await adoption.adopt("one", "two", "three", "four")
    assert set(adopted.serving) == {"one"}
    assert adopted.ended == {"two": b"", "three": b"no"}
    assert adopted.complete
    asked = [(node, body) for node, op, body in adoption.node.asker.asked if op == FIND]
    assert [node for node, _ in asked] == [A, B]
    assert asked[0][1] == {"names": ["one", "two", "three", "four"], "epoch": 1}
    adoption.node.bus.get(A, Result("id-1", b"result", b""))
    assert adoption.ends == [("one", b"")]


async def test_an_end_that_comes_before_all_gateways_have_answered_is_told(adoption: Adoption) -> None:
    def find(node: str, _body: object) -> object:
        if node == B:
            adoption.node.bus.get(A, Result("id-1", b"", b"failed"))
        return {"serving": {"one": "id-1"} if node == A else {}, "ended": {}}

    adoption.node.asker.told[FIND] = find
    adopted = await adoption.adopt("one")
    assert set(adopted.serving) == {"one"}
    await eventually(lambda: adoption.ends == [("one", b"failed")])


async def test_what_is_adopted_ends_with_the_gateway_that_serves_it(adoption: Adoption) -> None:
    adoption.serving(A, one="id-1")
    await adoption.adopt("one")
    adoption.node.take(gone(2, B))
    ((name, error),) = adoption.ends
    assert name == "one"
    assert b"invocation_stopped" in error


@pytest.mark.parametrize("silent", [FIND, FLUSHED])
async def test_what_is_adopted_is_incomplete_when_somebody_is_silent(adoption: Adoption, silent: str) -> None:
    adoption.node.asker.told.pop(silent)
    assert not (await adoption.adopt("one")).complete


async def test_other_shards_are_asked_once_per_map_whether_they_are_done_with_it(adoption: Adoption) -> None:
    await adoption.adopt("one")
    await adoption.adopt("two")
    adoption.node.take(gone(2, *GATEWAYS))
    await adoption.adopt("three")
    assert [(n, body) for n, op, body in adoption.node.asker.asked if op == FLUSHED] == [(OTHER, 1), (OTHER, 2)]


async def test_a_silent_shard_is_asked_again(adoption: Adoption) -> None:
    del adoption.node.asker.told[FLUSHED]
    assert not (await adoption.adopt("one")).complete
    adoption.node.asker.told[FLUSHED] = lambda _node, _epoch: True
    assert (await adoption.adopt("one")).complete


async def test_a_shard_is_done_with_a_map_when_it_knows_it_and_all_gateways_have_its_mail(adoption: Adoption) -> None:
    asking = asyncio.create_task(adoption.node.asker.ask(FLUSHED, 2))
    await asyncio.sleep(0)
    assert not asking.done()
    adoption.node.take(gone(2, *GATEWAYS))
    assert await asking is True
    assert [(node, body["names"]) for node, op, body in adoption.node.asker.asked if op == FIND] == [(A, []), (B, [])]
    del adoption.node.asker.told[FIND]
    assert await adoption.node.asker.ask(FLUSHED, 2) is False


async def test_a_shard_that_does_not_hear_of_a_map_says_so(adoption: Adoption, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shard.flushed.PATIENCE", 0.01)
    with pytest.raises(AskError, match="no map of epoch 9"):
        await adoption.node.asker.ask(FLUSHED, 9)
