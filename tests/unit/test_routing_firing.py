from collections.abc import Callable
from typing import Any, cast

from iii_cluster.bus.envelopes import (
    Envelope,
    FunctionOwners,
    Invoke,
    Owner,
    Refused,
    Result,
    Trigger,
    TriggerSnapshot,
    Watch,
)
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.membership import Membership
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.routing.caller import MAX_REFUSALS, PATIENCE
from iii_cluster.routing.firing import Firing

ME = "coordinator-00000001"
SHARD = "shard-1"
TYPE = "engine::workers-available"
KEY = "function:default/on::event"
OWNERS = [Owner(f"gateway-{letter}", conn, f"worker-{letter}{conn}") for letter in "ab" for conn in (1, 2)]


class FakeBus:
    node_id = "coordinator-00000001"

    def __init__(self) -> None:
        self.handlers: dict[type[Envelope], Callable[[str, Any], None]] = {}
        self.sent: list[tuple[str, Envelope]] = []

    def on(self, kind: type[Envelope], handler: Callable[[str, Any], None]) -> None:
        self.handlers[kind] = handler

    def send(self, node: str, envelope: Envelope) -> None:
        self.sent.append((node, envelope))

    def congested(self, _node: str) -> bool:
        return False

    def get(self, src: str, envelope: Envelope) -> None:
        self.handlers[type(envelope)](src, envelope)

    def events(self) -> list[tuple[str, int, str]]:
        """Taken: where events went, and their names."""
        found = [(node, said.conn, said.once) for node, said in self.sent if isinstance(said, Invoke)]
        self.sent = [(node, said) for node, said in self.sent if not isinstance(said, Invoke)]
        return found


def cluster_map(epoch: int, *coordinators: str) -> ClusterMap:
    nodes = {name: NodeInfo(id=name, role=Role.GATEWAY) for name in ("gateway-a", "gateway-b")}
    nodes |= {name: NodeInfo(id=name, role=Role.COORDINATOR) for name in coordinators}
    return ClusterMap(term=1, epoch=epoch, nodes=nodes, slots=(SlotOwner(SHARD, 1),) * SLOTS)


class FakeMembership:
    def __init__(self) -> None:
        nodes = {name: NodeInfo(id=name, role=Role.GATEWAY) for name in ("gateway-a", "gateway-b")}
        nodes["coordinator-00000001"] = NodeInfo(id="coordinator-1", role=Role.COORDINATOR)
        self.map = ClusterMap(term=1, epoch=1, nodes=nodes, slots=(SlotOwner(SHARD, 1),) * SLOTS)
        self.subscriber: Callable[[ClusterMap, ClusterMap], None] | None = None

    def subscribe(self, fn: Callable[[ClusterMap, ClusterMap], None]) -> None:
        self.subscriber = fn


def firing(owners: list[Owner] | None = None, triggers: int = 1) -> tuple[Firing, FakeBus]:
    """Knows its triggers and, if given, the owners of their function."""
    bus = FakeBus()
    fired = Firing(cast(Bus, bus), cast(Membership, FakeMembership()))
    fired.expire(100.0)
    fired.watch(TYPE)
    bus.get(
        SHARD, TriggerSnapshot(f"triggers:{TYPE}", 1, [Trigger(f"t{n}", TYPE, "on::event") for n in range(triggers)])
    )
    if owners:
        fired.fire(TYPE, b"{}")
        bus.get(SHARD, FunctionOwners(KEY, 1, owners))
        bus.events()
    return fired, bus


def test_a_named_event_goes_to_the_same_connection_whoever_fires_it() -> None:
    one, one_bus = firing(OWNERS)
    other, other_bus = firing(OWNERS[::-1])
    for number in range(50):
        one.fire(TYPE, b"{}", f"gone:{number}")
        other.fire(TYPE, b"{}", f"gone:{number}")
    sent = one_bus.events()
    assert sent == other_bus.events()
    assert {(node, conn) for node, conn, _ in sent} == {(owner.node, owner.conn) for owner in OWNERS}


def test_the_name_of_an_event_is_one_for_each_trigger() -> None:
    fired, bus = firing(OWNERS, triggers=2)
    fired.fire(TYPE, b"{}", "gone")
    assert [once for _, _, once in bus.events()] == ["gone:t0", "gone:t1"]
    fired.fire(TYPE, b"{}")
    assert [once for _, _, once in bus.events()] == ["", ""]


def test_events_are_sent_when_their_target_is_found() -> None:
    fired, bus = firing()
    told: list[bool] = []
    fired.on_sent = lambda: told.append(fired.all_sent)
    fired.fire(TYPE, b"{}", "gone")
    assert not fired.all_sent
    bus.get(SHARD, FunctionOwners(KEY, 1, OWNERS[:1]))
    assert bus.events() == [("gateway-a", 1, "gone:t0")]
    assert told == [True]


def test_events_wait_until_the_triggers_of_their_type_are_known() -> None:
    bus = FakeBus()
    fired = Firing(cast(Bus, bus), cast(Membership, FakeMembership()))
    fired.expire(100.0)
    fired.watch(TYPE)
    fired.fire(TYPE, b"{}", "gone")
    assert not fired.all_sent
    bus.get(SHARD, TriggerSnapshot(f"triggers:{TYPE}", 1, [Trigger("t0", TYPE, "on::event")]))
    bus.get(SHARD, FunctionOwners(KEY, 1, OWNERS[:1]))
    assert bus.events() == [("gateway-a", 1, "gone:t0")]
    assert fired.all_sent


def test_events_nobody_can_place_are_given_up() -> None:
    bus = FakeBus()
    fired = Firing(cast(Bus, bus), cast(Membership, FakeMembership()))
    told: list[str] = []
    fired.on_sent = lambda: told.append("sent")
    fired.expire(100.0)
    fired.watch(TYPE)
    fired.fire(TYPE, b"{}")
    fired.expire(100.0 + PATIENCE)
    assert not fired.all_sent
    fired.expire(100.1 + PATIENCE)
    assert fired.all_sent
    assert told == ["sent"]


def test_a_refused_event_follows_its_target_to_where_it_is_now() -> None:
    fired, bus = firing(OWNERS[:1])
    fired.fire(TYPE, b"{}", "gone")
    ((node, invoke),) = [(n, said) for n, said in bus.sent if isinstance(said, Invoke)]
    bus.sent.clear()
    bus.get(node, Refused(invoke))
    assert bus.events() == []
    assert isinstance(bus.sent[-1][1], Watch)
    bus.get(SHARD, FunctionOwners(KEY, 2, OWNERS[3:]))
    assert bus.events() == [("gateway-b", 2, "gone:t0")]


def test_an_event_that_is_refused_again_and_again_is_given_up() -> None:
    fired, bus = firing(OWNERS[:1])
    fired.fire(TYPE, b"{}", "gone")
    attempts = 0
    while invokes := [said for _, said in bus.sent if isinstance(said, Invoke)]:
        attempts += 1
        bus.sent.clear()
        bus.get("gateway-a", Refused(invokes[0]))
        bus.get(SHARD, FunctionOwners(KEY, attempts + 1, OWNERS[:1]))
    assert attempts == MAX_REFUSALS + 1
    bus.get("gateway-a", Result("unknown"))


def test_triggers_are_asked_for_when_shards_know_who_asks() -> None:
    bus, membership = FakeBus(), FakeMembership()
    membership.map = cluster_map(3)
    fired = Firing(cast(Bus, bus), cast(Membership, membership))
    fired.watch(TYPE)
    assert bus.sent == []
    assert membership.subscriber is not None
    membership.subscriber(membership.map, cluster_map(4, ME))
    assert bus.sent == [(SHARD, Watch(4, [f"triggers:{TYPE}"]))]
