from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.cluster.assign import assign
from iii_cluster.cluster.map import ClusterMap, SlotOwner
from iii_cluster.cluster.slots import SLOTS

NOBODY = ClusterMap().slots
SHARDS = st.sets(st.integers(0, 40).map(lambda number: f"shard-{number}"), max_size=12)


def counts(slots: Sequence[SlotOwner]) -> dict[str, int]:
    owned: dict[str, int] = {}
    for owner in slots:
        owned[owner.node] = owned.get(owner.node, 0) + 1
    return owned


def moved(old: Sequence[SlotOwner], new: Sequence[SlotOwner]) -> int:
    return sum(before.node != after.node for before, after in zip(old, new, strict=True))


def test_one_shard_gets_every_slot() -> None:
    slots = assign(NOBODY, ["a"], 1)
    assert slots == (SlotOwner("a", 1),) * SLOTS


def test_without_shards_nobody_owns_anything() -> None:
    slots = assign(assign(NOBODY, ["a"], 1), [], 2)
    assert slots == (SlotOwner("", 2),) * SLOTS
    assert assign(slots, [], 3) == slots


def test_a_joining_shard_takes_only_its_share() -> None:
    before = assign(NOBODY, ["a", "b", "c"], 1)
    after = assign(before, ["a", "b", "c", "d"], 2)
    assert moved(before, after) == SLOTS // 4
    assert all(owner.node == "d" for owner, old in zip(after, before, strict=True) if owner != old)


def test_only_the_slots_of_a_leaving_shard_move() -> None:
    before = assign(NOBODY, ["a", "b", "c", "d"], 1)
    after = assign(before, ["a", "b", "d"], 2)
    assert all((old.node == "c") == (new.since == 2) for old, new in zip(before, after, strict=True))


def test_the_slots_of_a_leaving_shard_spread_over_the_others() -> None:
    before = assign(NOBODY, ["a", "b", "c"], 1)
    lost = [slot for slot, owner in enumerate(before) if owner.node == "c"]
    after = assign(before, ["a", "b"], 2)
    assert {after[slot].node for slot in lost[:2]} == {"a", "b"}


@given(st.lists(SHARDS, min_size=1, max_size=6))
def test_every_change_is_balanced_minimal_and_keeps_since_of_what_stays(history: list[set[str]]) -> None:
    slots = NOBODY
    for epoch, shards in enumerate(history, start=1):
        before, slots = slots, assign(slots, shards, epoch)
        if not shards:
            assert counts(slots) == {"": SLOTS}
            continue
        owned = counts(slots)
        assert set(owned) == shards
        assert max(owned.values()) - min(owned.values()) <= 1
        kept = counts([owner for owner in before if owner.node in shards])
        share, remainder = divmod(SLOTS, len(shards))
        largest = sorted((kept.get(shard, 0) for shard in shards), reverse=True)
        stay = sum(min(count, share + (rank < remainder)) for rank, count in enumerate(largest))
        assert moved(before, slots) == SLOTS - stay
        for old, new in zip(before, slots, strict=True):
            assert new == old if new.node == old.node else new.since == epoch


@given(SHARDS, SHARDS, st.randoms(use_true_random=False))
def test_the_order_of_shards_does_not_matter(first: set[str], second: set[str], random) -> None:  # type: ignore[no-untyped-def]
    before = assign(NOBODY, first, 1)
    shuffled = sorted(second)
    random.shuffle(shuffled)
    assert assign(before, shuffled, 2) == assign(before, sorted(second), 2)
