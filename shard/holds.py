"""Requests that came too early for their slot: answered when it is filled, or when our map catches up.

The core takes everything held of a slot and looks at it again whenever the slot's situation changes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from iii_cluster.bus.envelopes import Offered, RemoveTrigger, UnbindTrigger


@dataclass(slots=True, frozen=True)
class Lookup:
    """A question about one slot. `done(True)` when it can be answered, `done(False)` when the slot moved away."""

    epoch: int
    done: Callable[[bool], None]


Removal = RemoveTrigger | UnbindTrigger | Offered  # what of its triggers a provider has no more


class Holds:
    def __init__(self) -> None:
        self._watches: dict[int, dict[tuple[str, str], int]] = {}  # slot -> (node, key) -> epoch
        self._lookups: dict[int, list[Lookup]] = {}
        self._removals: dict[int, list[tuple[str, Removal]]] = {}

    def watch(self, slot: int, node: str, key: str, epoch: int) -> None:
        held = self._watches.setdefault(slot, {})
        held[node, key] = max(epoch, held.get((node, key), epoch))

    def unwatch(self, slot: int, node: str, key: str) -> None:
        held = self._watches.get(slot)
        if held is not None:
            held.pop((node, key), None)
            if not held:
                del self._watches[slot]

    def lookup(self, slot: int, lookup: Lookup) -> None:
        self._lookups.setdefault(slot, []).append(lookup)

    def removal(self, slot: int, node: str, removal: Removal) -> None:
        self._removals.setdefault(slot, []).append((node, removal))

    def take_watches(self, slot: int) -> list[tuple[str, str, int]]:
        return [(node, key, epoch) for (node, key), epoch in self._watches.pop(slot, {}).items()]

    def take_lookups(self, slot: int) -> list[Lookup]:
        return self._lookups.pop(slot, [])

    def take_removals(self, slot: int) -> list[tuple[str, Removal]]:
        return self._removals.pop(slot, [])

    def drop_nodes(self, nodes: Iterable[str]) -> None:
        """Forget the watches of dead nodes. Removals stay: they were meant for everybody."""
        gone = set(nodes)
        for slot, held in list(self._watches.items()):
            for node, key in list(held):
                if node in gone:
                    self.unwatch(slot, node, key)

    def nodes(self) -> set[str]:
        return {node for held in self._watches.values() for node, _ in held}

    def slots(self) -> set[int]:
        return self._watches.keys() | self._lookups.keys() | self._removals.keys()

    def __len__(self) -> int:
        held = (*self._watches.values(), *self._lookups.values(), *self._removals.values())
        return sum(map(len, held))
