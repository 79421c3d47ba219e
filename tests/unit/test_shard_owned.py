"""What a shard owns, as its modules see it."""

import pytest
from msgspec.structs import replace

from iii_cluster.cluster.map import ClusterMap, SlotOwner
from iii_cluster.cluster.slots import SLOTS, slot_of
from shard.owned import OwnedSlots
from tests.support.shard import ME, OTHER, cluster_map

SLOT = slot_of("queue:orders")


class Lab:
    def __init__(self) -> None:
        self.healthy = True
        self.owned = OwnedSlots(ME, lambda: self.healthy)
        self.tokens: list[int] = []
        self.owned.subscribe(lambda: self.tokens.append(self.owned.token("queue:orders")))

    def adopt(self, new: ClusterMap) -> None:
        self.owned.on_map(new)


def with_owner(current: ClusterMap, node: str, since: int) -> ClusterMap:
    slots = list(current.slots)
    slots[SLOT] = SlotOwner(node, since)
    return replace(current, slots=tuple(slots))


def test_a_token_is_the_epoch_since_which_the_slot_is_owned() -> None:
    lab = Lab()
    assert lab.owned.token("queue:orders") == 0
    lab.adopt(cluster_map(7, {ME: 5}))
    assert lab.owned.token("queue:orders") == lab.owned.slot_token(SLOT) == 5
    assert lab.owned.slots() == list(range(SLOTS))


def test_only_changes_of_ones_own_slots_are_told() -> None:
    lab = Lab()
    current = cluster_map(1, {ME: 1})
    lab.adopt(current)
    lab.adopt(replace(current, epoch=2))
    lab.adopt(with_owner(replace(current, epoch=3), OTHER, 3))
    lab.adopt(with_owner(replace(current, epoch=4), OTHER, 4))
    lab.adopt(with_owner(replace(current, epoch=5), ME, 5))
    assert lab.tokens == [1, 0, 5]


def test_a_slot_that_left_and_came_back_between_two_maps_has_another_token() -> None:
    lab = Lab()
    lab.adopt(cluster_map(1, {ME: 1}))
    lab.adopt(with_owner(cluster_map(3, {ME: 1}), ME, 3))
    assert lab.tokens == [1, 3]


def test_without_a_lease_nothing_is_owned() -> None:
    lab = Lab()
    lab.adopt(cluster_map(1, {ME: 1}))
    lab.healthy = False
    lab.owned.tell()
    assert (lab.owned.token("queue:orders"), lab.owned.slots()) == (0, [])
    lab.healthy = True
    lab.owned.tell()
    assert lab.tokens == [1, 0, 1]


def test_a_failing_listener_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()

    def fail() -> None:
        raise LookupError

    lab.owned.subscribe(fail)
    lab.owned.subscribe(lambda: lab.tokens.append(-1))
    lab.adopt(cluster_map(1, {ME: 1}))
    assert lab.tokens == [1, -1]
    assert "ownership_listener_failed" in caplog.text
