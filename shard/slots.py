"""Which slots this shard owns, since when, and which of them are still being filled.

A slot that is gained is *filling* until every gateway of that map announced what its workers registered,
and *unloaded* until durable triggers were read from storage (again, when a gateway may have failed to tell of
one it stored). Epochs only grow, which gives one rule for
every registration: in an owned slot it counts if it was announced under the epoch the slot was gained at
or later, in any other slot only if it comes from a map newer than ours.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from iii_cluster.cluster.map import ClusterMap, Role


@dataclass(slots=True, eq=False)
class Handover:
    """Slots filled together: gained at one epoch, waiting for the same gateways."""

    slots: set[int]
    since: int
    waiting: set[str]
    deadline: float  # seconds of the caller's clock


@dataclass(slots=True)
class Changed:
    """What a new map did to the slots. A slot that left and came back is both ended and gained."""

    ended: list[int] = field(default_factory=list)
    gained: list[int] = field(default_factory=list)
    filled: list[int] = field(default_factory=list)


class SlotTable:
    def __init__(self, me: str, barrier: float) -> None:
        self.map = ClusterMap()
        self._me = me
        self._barrier = barrier
        self._since: dict[int, int] = {}
        self._handovers: list[Handover] = []
        self._filling: dict[int, Handover] = {}
        self._unloaded: set[int] = set()
        self._announced: dict[str, int] = {}
        self._gateways: set[str] = set()

    # -- questions

    def owns(self, slot: int) -> bool:
        return slot in self._since

    def owned(self) -> list[int]:
        return sorted(self._since)

    def ready(self, slot: int) -> bool:
        """Owned and filled: lookups can be answered, triggers can be bound."""
        return slot in self._since and slot not in self._filling

    def settled(self, slot: int) -> bool:
        """Ready, and durable triggers are loaded: an id that is not here does not exist."""
        return self.ready(slot) and slot not in self._unloaded

    def accepts(self, slot: int, epoch: int) -> bool:
        """Whether something announced under `epoch` is, or may become, current."""
        since = self._since.get(slot)
        return epoch > self.map.epoch if since is None else epoch >= since

    def since(self, slot: int) -> int:
        """Epoch an owned slot was gained at."""
        return self._since[slot]

    def filling(self) -> int:
        return len(self._filling)

    def loadable(self) -> frozenset[int]:
        """Unloaded slots storage is to be read for now.

        That is after every gateway announced: what it stored for a former owner of the slot, it stored before.
        """
        waiting = {slot for handover in self._handovers if handover.waiting for slot in handover.slots}
        return frozenset(self._unloaded - waiting)

    def deadline(self) -> float | None:
        """When to call `tick`, None when nothing is being filled."""
        return min((handover.deadline for handover in self._handovers), default=None)

    def heard_of(self, epoch: int) -> bool:
        """Every gateway has announced what it has as of `epoch` or later."""
        return all(self._announced.get(gateway, -1) >= epoch for gateway in self._gateways)

    # -- events

    def apply(self, new: ClusterMap, now: float) -> Changed:
        """Replace the map; the caller has checked that `new` is newer."""
        self.map = new
        changed = Changed()
        gained: dict[int, set[int]] = {}
        for slot, owner in enumerate(new.slots):
            before = self._since.get(slot)
            after = owner.since if owner.node == self._me else None
            if before == after:
                continue
            if before is not None:
                changed.ended.append(slot)
                self._end(slot)
            if after is not None:
                changed.gained.append(slot)
                self._since[slot] = after
                gained.setdefault(after, set()).add(slot)
        gateways = set(new.of_role(Role.GATEWAY))
        if not gateways.issuperset(self._gateways):
            self._reload()  # one died, maybe between storing a trigger and telling of it
        self._gateways = gateways
        # Said by a node that is gone, or by one that this map does not know yet.
        self._announced = {n: e for n, e in self._announced.items() if n in gateways or e > new.epoch}
        for handover in self._handovers:
            handover.waiting &= gateways
        for since, slots in gained.items():
            self._unloaded.update(slots)
            waiting = {g for g in gateways if self._announced.get(g, -1) < since}
            self._open(Handover(slots, since, waiting, now + self._barrier))
        changed.filled = self._close_complete()
        return changed

    def announced(self, node: str, epoch: int) -> list[int]:
        """A gateway announced everything as of `epoch`; returns the slots this fills."""
        self._announced[node] = max(epoch, self._announced.get(node, epoch))
        for handover in self._handovers:
            if epoch >= handover.since:
                handover.waiting.discard(node)
        return self._close_complete()

    def announces_again(self, node: str, now: float) -> None:
        """What `node` registered was released although it lives: hold lookups until it announced anew."""
        self._reload()
        if node not in self._gateways:
            return
        self._announced.pop(node, None)
        for handover in self._handovers:
            handover.waiting.add(node)
        # One hand-over for all epochs: the gateway announces everything, whatever its map says of each slot.
        filled = {slot for slot in self._since if slot not in self._filling}
        if filled:
            self._open(Handover(filled, 0, {node}, now + self._barrier))

    def loaded(self, slots: Collection[int]) -> list[int]:
        self._unloaded.difference_update(slots)
        return self._close_complete()

    def tick(self, now: float) -> list[int]:
        """Fill what waited for the whole barrier."""
        return self._close(handover for handover in self._handovers if handover.deadline <= now)

    # -- inside

    def _reload(self) -> None:
        """A durable trigger may have been stored whose announcement was lost."""
        self._unloaded.update(self._since)

    def _open(self, handover: Handover) -> None:
        self._handovers.append(handover)
        for slot in handover.slots:
            self._filling[slot] = handover

    def _end(self, slot: int) -> None:
        del self._since[slot]
        self._unloaded.discard(slot)
        handover = self._filling.pop(slot, None)
        if handover is not None:
            handover.slots.discard(slot)

    def _close_complete(self) -> list[int]:
        return self._close(
            handover
            for handover in self._handovers
            if not handover.slots or (not handover.waiting and handover.slots.isdisjoint(self._unloaded))
        )

    def _close(self, handovers: Iterable[Handover]) -> list[int]:
        closed = list(handovers)
        filled: list[int] = []
        for handover in closed:
            self._handovers.remove(handover)
            for slot in handover.slots:
                del self._filling[slot]
                filled.append(slot)
        return sorted(filled)

    def invariants(self) -> None:
        for slot, handover in self._filling.items():
            assert slot in handover.slots
            assert slot in self._since
            assert handover in self._handovers
        assert sum(len(h.slots) for h in self._handovers) == len(self._filling)
        assert all(h.slots and (h.waiting or not h.slots.isdisjoint(self._unloaded)) for h in self._handovers)
        assert self._unloaded <= self._since.keys()
        for slot, owner in enumerate(self.map.slots):
            assert self._since.get(slot) == (owner.since if owner.node == self._me else None)
