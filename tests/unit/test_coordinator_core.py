from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from coordinator.core import MapKeeper, Plan, Reachability
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from iii_cluster.cluster.scripts import Lease, LeaseScan

TTL, INTERVAL = 2.0, 0.5
PATIENCE = TTL + INTERVAL
ME = "coordinator-1"


def info(node: str, draining: bool = False) -> NodeInfo:
    return NodeInfo(id=node, role=Role(node.partition("-")[0]), draining=draining)


def scan(
    alive: Iterable[str],
    expired: Iterable[str] = (),
    gone: Iterable[str] = (),
    server: str = "run",
    draining: Iterable[str] = (),
) -> LeaseScan:
    leases = {node: Lease(1000, info(node)) for node in alive} | {node: Lease(-1, info(node)) for node in expired}
    leases |= {node: Lease(1000, info(node, draining=True)) for node in draining}
    return LeaseScan(True, server, leases, set(gone))


class Leader:
    """A keeper with a clock; scans every quarter of a second."""

    def __init__(self, stored: ClusterMap | None = None, term: int = 1) -> None:
        self.keeper = MapKeeper(ME, TTL, INTERVAL)
        self.keeper.lead(term, stored or ClusterMap())
        self.now = 100.0

    def scan(self, what: LeaseScan) -> Plan:
        self.now += 0.25
        self.keeper.reachability.contact(self.now, what.server)
        plan = self.keeper.plan(what, self.now)
        if plan.map is not None:
            self.keeper.written(plan.map)
        return plan

    def scan_for(self, seconds: float, what: LeaseScan) -> list[Plan]:
        return [self.scan(what) for _ in range(round(seconds / 0.25))]

    @property
    def nodes(self) -> set[str]:
        return set(self.keeper.current.nodes)


def test_the_first_leader_writes_the_first_map_with_itself() -> None:
    leader = Leader()
    plan = leader.scan(scan([ME]))
    assert plan.map is not None
    assert (plan.map.term, plan.map.epoch, plan.map.leader) == (1, 1, ME)
    assert set(plan.map.nodes) == {ME}


def test_a_new_term_begins_beyond_all_epochs_that_may_have_been_forgotten() -> None:
    """Fencing tokens are epochs; who stores them may remember more than the stored map says."""
    leader = Leader()
    leader.keeper.lead(2, ClusterMap(term=1, epoch=7), 1000)
    epochs = [plan.map.epoch for nodes in ([ME], [ME, "shard-1"]) if (plan := leader.scan(scan(nodes))).map]
    assert epochs == [1000, 1001]
    leader.keeper.lead(3, leader.keeper.current, 999)  # the clock of Redis was set back
    plan = leader.scan(scan([ME, "shard-1"]))
    assert plan.map is not None
    assert plan.map.epoch == 1002


def test_nothing_new_makes_no_map() -> None:
    leader = Leader()
    leader.scan(scan([ME]))
    assert leader.scan(scan([ME])) == Plan(None, ())


def test_shards_that_join_get_slots() -> None:
    leader = Leader()
    leader.scan(scan([ME, "shard-1", "gateway-1"]))
    plan = leader.scan(scan([ME, "shard-1", "shard-2", "gateway-1"]))
    assert plan.map is not None
    assert {owner.node for owner in plan.map.slots} == {"shard-1", "shard-2"}
    assert {owner.since for owner in plan.map.slots if owner.node == "shard-2"} == {2}


def test_a_new_leader_announces_itself_with_the_next_epoch() -> None:
    stored = ClusterMap(term=3, epoch=9, leader="coordinator-2", nodes={ME: info(ME)})
    plan = Leader(stored, term=4).scan(scan([ME]))
    assert plan.map is not None
    assert (plan.map.term, plan.map.epoch, plan.map.leader) == (4, 10, ME)


def test_an_expired_lease_is_death_only_after_redis_was_reachable_for_long_enough() -> None:
    leader = Leader()
    leader.scan(scan([ME, "shard-1"]))
    plans = leader.scan_for(PATIENCE, scan([ME], expired=["shard-1"]))
    assert plans[-1].remove == ("shard-1",)
    assert all(plan == Plan(None, ()) for plan in plans[:-1])
    assert leader.nodes == {ME}


def test_an_outage_of_redis_kills_nobody() -> None:
    leader = Leader()
    leader.scan_for(PATIENCE, scan([ME, "shard-1"]))
    leader.keeper.reachability.contact(leader.now, None)
    leader.scan(scan([], expired=[ME, "shard-1"]))
    assert leader.nodes == {ME, "shard-1"}


def test_a_silent_gap_between_scans_counts_as_an_outage() -> None:
    leader = Leader()
    leader.scan_for(PATIENCE, scan([ME, "shard-1"]))
    leader.now += TTL
    leader.scan(scan([ME], expired=["shard-1"]))
    assert leader.nodes == {ME, "shard-1"}


def test_another_redis_process_counts_as_an_outage() -> None:
    leader = Leader()
    leader.scan_for(PATIENCE, scan([ME, "shard-1"]))
    leader.scan(scan([ME], expired=["shard-1"], server="other"))
    assert leader.nodes == {ME, "shard-1"}


def test_a_forgotten_lease_may_be_renewed_for_as_long_as_one_may_live() -> None:
    leader = Leader()
    leader.scan_for(PATIENCE, scan([ME, "shard-1", "shard-2"]))
    leader.scan_for(PATIENCE, scan([ME]))
    assert leader.nodes == {ME, "shard-1", "shard-2"}
    leader.scan(scan([ME, "shard-1"]))
    assert leader.nodes == {ME, "shard-1"}


def test_a_node_that_left_is_removed_at_once() -> None:
    leader = Leader()
    leader.scan(scan([ME, "shard-1"]))
    plan = leader.scan(scan([ME], gone=["shard-1"]))
    assert plan.map is not None
    assert leader.nodes == {ME}
    assert {owner.node for owner in plan.map.slots} == {""}


def test_the_leader_never_removes_itself() -> None:
    leader = Leader()
    leader.scan_for(PATIENCE * 2, scan([], expired=[ME]))
    leader.scan(scan([], gone=[ME]))
    assert leader.nodes <= {ME}
    leader = Leader()
    leader.scan(scan([ME]))
    leader.scan_for(PATIENCE * 2, scan([], expired=[ME]))
    assert leader.nodes == {ME}


def test_the_lease_of_a_node_that_died_before_it_joined_is_removed() -> None:
    leader = Leader()
    plans = leader.scan_for(PATIENCE + 1, scan([ME], expired=["gateway-9"]))
    assert plans[0].remove == ()
    assert plans[-1] == Plan(None, ("gateway-9",))


def test_an_expired_lease_does_not_join() -> None:
    leader = Leader()
    leader.scan(scan([ME], expired=["gateway-9"]))
    assert leader.nodes == {ME}


def test_redis_is_steady_after_one_ttl_and_one_interval() -> None:
    reachability = Reachability(TTL, INTERVAL)
    for tick in range(5):
        reachability.contact(tick * 0.5, "run")
        assert not reachability.steady(tick * 0.5)
    assert reachability.steady(PATIENCE)
    assert not reachability.steady(PATIENCE + TTL)


def shares(plan: Plan) -> dict[str, int]:
    assert plan.map is not None
    return dict(Counter(owner.node for owner in plan.map.slots))


def test_a_draining_shard_gives_its_slots_to_the_others() -> None:
    leader = Leader()
    leader.scan(scan([ME, "shard-1", "shard-2", "shard-3"]))
    plan = leader.scan(scan([ME, "shard-1", "shard-3"], draining=["shard-2"]))
    assert shares(plan) == {"shard-1": 512, "shard-3": 512}
    assert plan.map is not None
    assert plan.map.nodes["shard-2"].draining
    assert leader.scan(scan([ME, "shard-1", "shard-3"], draining=["shard-2"])) == Plan(None, ())


def test_draining_is_never_undone() -> None:
    leader = Leader()
    leader.scan(scan([ME, "shard-1", "shard-2"]))
    leader.scan(scan([ME, "shard-1"], draining=["shard-2"]))
    assert leader.scan(scan([ME, "shard-1", "shard-2"])) == Plan(None, ())
    leader.scan(scan([ME, "shard-1", "shard-2", "gateway-1"]))
    assert leader.keeper.current.nodes["shard-2"].draining


def test_the_last_shard_keeps_its_slots_though_it_drains() -> None:
    leader = Leader()
    leader.scan(scan([ME, "shard-1"]))
    before = leader.keeper.current.slots
    leader.scan(scan([ME], draining=["shard-1"]))
    assert leader.keeper.current.slots == before
    assert leader.keeper.current.nodes["shard-1"].draining


def test_nothing_moves_between_shards_that_all_drain() -> None:
    leader = Leader()
    leader.scan(scan([ME, "shard-1", "shard-2", "shard-3"]))
    leader.scan(scan([ME, "shard-2", "shard-3"], draining=["shard-1"]))
    before = leader.keeper.current.slots
    leader.scan(scan([ME], draining=["shard-1", "shard-2", "shard-3"]))
    assert leader.keeper.current.slots == before
    plan = leader.scan(scan([ME, "shard-4"], draining=["shard-1", "shard-2", "shard-3"]))
    assert shares(plan) == {"shard-4": 1024}


def test_a_draining_shard_inherits_from_another_when_nobody_else_is_left() -> None:
    leader = Leader()
    leader.scan(scan([ME, "shard-1", "shard-2"]))
    leader.scan(scan([ME], draining=["shard-1", "shard-2"]))
    assert shares(leader.scan(scan([ME], gone=["shard-1"], draining=["shard-2"]))) == {"shard-2": 1024}


def test_other_draining_nodes_are_shown_in_the_map() -> None:
    leader = Leader()
    leader.scan(scan([ME, "gateway-1", "coordinator-2"]))
    leader.scan(scan([], draining=[ME, "gateway-1", "coordinator-2"]))
    assert all(node.draining for node in leader.keeper.current.nodes.values())


@given(st.lists(st.sets(st.sampled_from(["shard-1", "shard-2", "gateway-1", "gateway-2"])), max_size=30))
def test_versions_grow_by_one_and_slots_belong_to_shards_of_the_map(history: list[set[str]]) -> None:
    leader = Leader()
    epoch = 0
    for alive in history:
        others = {"shard-1", "shard-2", "gateway-1", "gateway-2"} - alive
        plan = leader.scan(scan([ME, *alive], expired=others))
        if plan.map is not None:
            epoch += 1
            assert plan.map.version == (1, epoch)
            shards = set(plan.map.of_role(Role.SHARD))
            assert {owner.node for owner in plan.map.slots} == (shards or {""})
        assert alive <= leader.nodes
