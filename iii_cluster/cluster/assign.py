"""Which shard owns which slot: balanced, with as few moves as possible, the same for every caller."""

from collections.abc import Collection, Iterator, Sequence

from .map import SlotOwner


def assign(slots: Sequence[SlotOwner], shards: Collection[str], epoch: int) -> tuple[SlotOwner, ...]:
    """The owners as of `epoch`: shards differ by one slot at most, a slot that stays keeps its `since`.

    Without shards nobody owns anything.
    """
    if not shards:
        return tuple(owner if not owner.node else SlotOwner("", epoch) for owner in slots)
    wanted = _quotas(slots, shards)
    left = dict(wanted)
    free = []
    for slot, owner in enumerate(slots):
        if left.get(owner.node, 0) > 0:
            left[owner.node] -= 1
        else:
            free.append(slot)
    assigned = list(slots)
    for slot, node in zip(free, _takers(left), strict=True):
        assigned[slot] = SlotOwner(node, epoch)
    return tuple(assigned)


def _quotas(slots: Sequence[SlotOwner], shards: Collection[str]) -> dict[str, int]:
    """How many slots each shard gets. Those that own most take the remainder, so that fewer slots move."""
    owned = dict.fromkeys(shards, 0)
    for owner in slots:
        if owner.node in owned:
            owned[owner.node] += 1
    share, remainder = divmod(len(slots), len(owned))
    ranked = sorted(owned, key=lambda shard: (-owned[shard], shard))
    return {shard: share + (rank < remainder) for rank, shard in enumerate(ranked)}


def _takers(left: dict[str, int]) -> Iterator[str]:
    """Shards in turn, each as often as it has room: neighbouring slots spread over the takers."""
    room = {shard: left[shard] for shard in sorted(left) if left[shard] > 0}
    while room:
        for shard in list(room):
            yield shard
            room[shard] -= 1
            if not room[shard]:
                del room[shard]
