"""Functions belong to one realm: workers under rules take nothing from those without, nor from each other."""

from itertools import permutations

import pytest

from iii_cluster.bus.envelopes import (
    Announced,
    Cleanup,
    DropFunction,
    FunctionOwners,
    Owner,
    RejectFunction,
    Watch,
)
from iii_cluster.config.settings import Duplicates
from tests.support.shard import BARRIER, GATEWAYS, LEADER, ME, OTHER, Lab, cluster_map, owner

A, B = GATEWAYS
WINDOW = 5.0  # seconds
FREE, FREE2 = owner(1), owner(2, B)
GUEST, GUEST2 = owner(11), owner(12, B)
EVERY_POLICY = pytest.mark.parametrize("policy", list(Duplicates))


def filled(policy: Duplicates = Duplicates.BALANCE) -> Lab:
    return Lab(policy, window=WINDOW).filled()


def serving(lab: Lab) -> list[Owner]:
    return lab.core.functions.owners("default", "f")


def rejected(lab: Lab) -> list[int]:
    said = lab.effects.take(RejectFunction)
    assert all(not envelope.owner_worker for envelope in said), "who won is not theirs to know"
    return sorted(envelope.conn for envelope in said)


def watched(lab: Lab) -> list[list[Owner]]:
    return [said.owners for said in lab.effects.take(FunctionOwners, B)]


def moved(policy: Duplicates = Duplicates.BALANCE) -> Lab:
    """A slot that was just gained, and that is being filled."""
    lab = Lab(policy, window=WINDOW)
    lab.adopt(cluster_map(1, {OTHER: 1}))
    lab.adopt(cluster_map(2, {ME: 2}))
    return lab


def fill(lab: Lab) -> None:
    for node in GATEWAYS:
        lab.get(node, Announced(2))


def decide(lab: Lab) -> None:
    """Fill it, and wait until nobody is expected back."""
    fill(lab)
    lab.tick(lab.now + WINDOW)


@EVERY_POLICY
def test_a_worker_under_rules_does_not_take_part_in_what_a_free_one_serves(policy: Duplicates) -> None:
    lab = filled(policy)
    lab.put(FREE, "f", stamp=9)
    lab.put(GUEST, "f", stamp=1, realm="guests")
    assert serving(lab) == [FREE]
    assert rejected(lab) == [11]


@EVERY_POLICY
def test_a_free_worker_takes_the_function_from_all_who_are_under_rules(policy: Duplicates) -> None:
    lab = filled(policy)
    lab.put(GUEST, "f", realm="guests")
    if policy is not Duplicates.REJECT:
        lab.put(GUEST2, "f", realm="guests")
    lab.get(B, Watch(2, ["function:default/f"]))
    watched(lab)
    lab.put(FREE, "f")
    assert serving(lab) == [FREE]
    assert rejected(lab) == ([11] if policy is Duplicates.REJECT else [11, 12])
    assert watched(lab) == [[FREE]]


@EVERY_POLICY
def test_of_two_realms_under_rules_the_one_that_was_there_first_keeps_it(policy: Duplicates) -> None:
    lab = filled(policy)
    lab.put(GUEST, "f", stamp=5, realm="guests")
    lab.put(GUEST2, "f", stamp=6, realm="partners")
    assert serving(lab) == [GUEST]
    assert rejected(lab) == [12]
    lab.put(GUEST2, "f", stamp=4, realm="partners")
    assert serving(lab) == [GUEST2]
    assert rejected(lab) == [11]


def test_workers_of_one_realm_share_a_function() -> None:
    lab = filled()
    lab.put(GUEST, "f", realm="guests")
    lab.put(GUEST2, "f", realm="guests")
    assert serving(lab) == [GUEST, GUEST2]
    assert rejected(lab) == []


def test_a_rejected_worker_may_register_again_when_the_function_is_free() -> None:
    lab = filled()
    lab.put(FREE, "f")
    lab.put(GUEST, "f", realm="guests")
    lab.get(A, DropFunction(FREE, "default", "f"))
    assert serving(lab) == [], "whoever was rejected is gone"
    lab.put(GUEST, "f", realm="guests")
    assert serving(lab) == [GUEST]


@EVERY_POLICY
@pytest.mark.parametrize("loss", ["moved", "cleaned up", "node", "link"])
def test_calls_that_wait_for_a_lost_worker_are_not_for_another_realm(policy: Duplicates, loss: str) -> None:
    lab = filled(policy)
    lab.put(FREE, "f")
    lab.now = 10.0
    if loss == "moved":
        lab.get(A, DropFunction(FREE, "default", "f", back=True))
    elif loss == "cleaned up":
        lab.get(LEADER, Cleanup(1, "functions", [FREE], term=1, back=[0]))
    elif loss == "node":
        lab.adopt(cluster_map(3, gateways=(B,)), now=10.0)
    else:
        lab.core.link_reset(A, 10.0)
        lab.load()
        lab.get(A, Announced(2))
    lab.get(B, Watch(3, ["function:default/f"]))
    watched(lab)
    lab.put(GUEST2, "f", realm="guests", epoch=3)
    assert serving(lab) == []
    assert rejected(lab) == [12]
    assert [owners for owners in watched(lab) if owners] == []
    lab.put(FREE2, "f", epoch=3)
    assert serving(lab) == [FREE2]


def test_when_the_window_is_over_the_function_is_free() -> None:
    lab = filled()
    lab.put(FREE, "f")
    lab.get(A, DropFunction(FREE, "default", "f", back=True))
    assert lab.core.deadline() == WINDOW
    lab.now = WINDOW
    lab.core.tick(WINDOW)
    assert len(lab.core.functions.reservations) == 0
    lab.put(GUEST, "f", realm="guests")
    assert serving(lab) == [GUEST]


def test_a_worker_of_the_lost_ones_realm_is_welcome() -> None:
    lab = filled()
    lab.put(GUEST, "f", realm="guests")
    lab.get(A, DropFunction(GUEST, "default", "f", back=True))
    lab.put(owner(13), "f", realm="partners")
    assert rejected(lab) == [13]
    lab.put(GUEST2, "f", realm="guests")
    assert serving(lab) == [GUEST2]


def test_a_lost_replica_is_waited_for_even_when_the_last_one_leaves_for_good() -> None:
    lab = filled()
    lab.put(FREE, "f")
    lab.put(FREE2, "f")
    lab.get(A, DropFunction(FREE, "default", "f", back=True))
    lab.get(B, DropFunction(FREE2, "default", "f"))
    lab.put(GUEST, "f", realm="guests")
    assert rejected(lab) == [11]


def test_a_window_of_a_free_worker_is_not_cut_short_by_a_loss_of_others() -> None:
    lab = filled()
    reservations = lab.core.functions.reservations
    reservations.reserve("default", "f", "", 0.0)
    reservations.reserve("default", "f", "guests", 1.0)
    assert reservations.keeps_out("default", "f", "guests", 4.0)
    reservations.reserve("default", "f", "guests", 20.0)
    assert not reservations.keeps_out("default", "f", "guests", 21.0)


def test_the_announcements_of_a_moved_slot_end_the_same_in_every_order() -> None:
    claims = [(GUEST, 1, "guests"), (GUEST2, 3, "guests"), (owner(13), 2, "partners"), (owner(14, B), 2, "others")]
    for order in permutations(claims):
        lab = moved()
        for who, stamp, realm in order:
            lab.put(who, "f", stamp=stamp, realm=realm)
        decide(lab)
        assert set(serving(lab)) == {GUEST, GUEST2}
        assert rejected(lab) == [13, 14]


@EVERY_POLICY
def test_a_free_worker_wins_a_moved_slot_in_every_order(policy: Duplicates) -> None:
    for order in permutations([(GUEST, 1, "guests"), (FREE, 3, ""), (owner(13), 2, "partners")]):
        lab = moved(policy)
        for who, stamp, realm in order:
            lab.put(who, "f", stamp=stamp, realm=realm)
        decide(lab)
        assert serving(lab) == [FREE]
        assert rejected(lab) == [11, 13]


@EVERY_POLICY
def test_a_function_may_have_lost_its_free_worker_before_its_slot_moved(policy: Duplicates) -> None:
    lab = moved(policy)
    lab.get(B, Watch(2, ["function:default/f"]))
    lab.put(GUEST, "f", realm="guests")
    fill(lab)
    assert watched(lab) == []
    lab.put(FREE2, "f")
    assert watched(lab) == [[FREE2]]
    assert serving(lab) == [FREE2]
    assert rejected(lab) == [11]


@EVERY_POLICY
def test_a_worker_under_rules_serves_in_a_moved_slot_when_nobody_came_back(policy: Duplicates) -> None:
    lab = moved(policy)
    lab.put(GUEST, "f", realm="guests")
    lab.now = 1.0
    fill(lab)
    lab.get(B, Watch(2, ["function:default/f"]))
    assert lab.core.deadline() == 1.0 + WINDOW
    assert watched(lab) == []
    lab.tick(1.0 + WINDOW)
    assert watched(lab) == [[GUEST]]
    assert rejected(lab) == []
    assert len(lab.core.holds) == 0


def test_functions_of_free_workers_do_not_wait_in_a_moved_slot() -> None:
    lab = moved()
    lab.put(FREE, "f")
    fill(lab)
    lab.get(B, Watch(2, ["function:default/f", "function:default/g"]))
    assert watched(lab) == [[FREE], []]


def test_a_claim_that_ends_undecided_leaves_nobody_waiting() -> None:
    lab = moved()
    lab.put(GUEST, "f", realm="guests")
    fill(lab)
    lab.get(B, Watch(2, ["function:default/f"]))
    lab.get(A, DropFunction(GUEST, "default", "f"))
    assert watched(lab) == [[]]


def test_a_gateway_that_announces_late_may_have_lost_a_worker_meanwhile() -> None:
    lab = moved()
    lab.put(GUEST, "f", realm="guests")
    lab.get(B, Announced(2), Watch(2, ["function:default/f"]))
    lab.tick(BARRIER)
    lab.tick(WINDOW)
    assert watched(lab) == []
    lab.get(A, Announced(2))
    lab.tick(WINDOW + WINDOW / 2)
    assert watched(lab) == []
    lab.tick(2 * WINDOW)
    assert watched(lab) == [[GUEST]]


def test_the_workers_of_a_gateway_that_died_unheard_have_the_window_to_come_back() -> None:
    lab = moved()
    lab.put(GUEST2, "f", realm="guests")
    lab.get(B, Announced(2), Watch(2, ["function:default/f"]))
    lab.adopt(cluster_map(3, {ME: 2}, gateways=(B,)), now=3.0)
    lab.tick(WINDOW)
    assert watched(lab) == []
    lab.tick(3.0 + WINDOW)
    assert watched(lab) == [[GUEST2]]


def test_a_slot_that_moves_on_undecided_is_decided_where_it_is() -> None:
    lab = moved()
    lab.put(GUEST, "f", realm="guests")
    fill(lab)
    lab.get(B, Watch(2, ["function:default/f"]))
    lab.adopt(cluster_map(3, {OTHER: 3}))
    assert lab.core.deadline() is None
    assert watched(lab) == []
    lab.adopt(cluster_map(4, {ME: 4}), now=7.0)
    lab.put(GUEST, "f", realm="guests", epoch=4)
    lab.now = 7.0
    for node in GATEWAYS:
        lab.get(node, Announced(4))
    assert lab.core.deadline() == 7.0 + WINDOW


def test_without_a_window_a_moved_slot_is_decided_when_it_is_filled() -> None:
    lab = Lab()
    lab.adopt(cluster_map(1, {OTHER: 1}))
    lab.adopt(cluster_map(2, {ME: 2}))
    lab.put(GUEST, "f", realm="guests")
    fill(lab)
    lab.get(B, Watch(2, ["function:default/f"]))
    assert watched(lab) == [[GUEST]]


def test_what_two_realms_claim_while_a_link_is_reset_is_decided_when_it_is_filled() -> None:
    lab = filled()
    lab.put(GUEST2, "f", stamp=1, realm="guests")
    lab.get(B, Watch(2, ["function:default/f"]))
    watched(lab)
    lab.reset(A)
    lab.put(owner(13), "f", stamp=2, realm="partners")
    assert serving(lab) == [GUEST2]
    assert watched(lab) == []
    lab.get(A, Announced(2))
    assert rejected(lab) == [13]
    lab.reset(A)
    lab.put(owner(13), "f", stamp=2, realm="partners")
    lab.get(B, DropFunction(GUEST2, "default", "f"))
    lab.core.tick(BARRIER)
    assert serving(lab) == [owner(13)]
