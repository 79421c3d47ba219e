"""Records by who registered them and by slot: what makes clean-up and hand-over linear in what they touch."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from iii_cluster.bus.envelopes import Owner


@dataclass(slots=True, eq=False)
class Record:
    """Something registered by `owner`; `epoch` is the newest map epoch under which it was announced."""

    owner: Owner
    slot: int
    epoch: int


R = TypeVar("R", bound=Record)


class Ownership(Generic[R]):
    """Index of records by owner, node and slot. Everything keeps the order of arrival.

    What no connection owns (it is durable, or left behind) is found by slot only.
    """

    def __init__(self) -> None:
        self._owners: dict[Owner, tuple[Owner, dict[R, None]]] = {}
        self._nodes: dict[str, dict[Owner, None]] = {}
        self._slots: dict[int, dict[R, None]] = {}

    def canonical(self, owner: Owner) -> Owner:
        """The stored equal of `owner`: every envelope brings its own copy, one is enough to keep."""
        known = self._owners.get(owner)
        return owner if known is None else known[0]

    def add(self, record: R) -> None:
        self._slots.setdefault(record.slot, {})[record] = None
        owner = record.owner
        if not owner.node:
            return
        known = self._owners.get(owner)
        if known is None:
            known = self._owners[owner] = (owner, {})
            self._nodes.setdefault(owner.node, {})[owner] = None
        known[1][record] = None

    def remove(self, record: R) -> None:
        in_slot = self._slots[record.slot]
        del in_slot[record]
        if not in_slot:
            del self._slots[record.slot]
        owner = record.owner
        if not owner.node:
            return
        records = self._owners[owner][1]
        del records[record]
        if not records:
            del self._owners[owner]
            owners = self._nodes[owner.node]
            del owners[owner]
            if not owners:
                del self._nodes[owner.node]

    def of_owner(self, owner: Owner) -> list[R]:
        known = self._owners.get(owner)
        return [] if known is None else list(known[1])

    def owners_on(self, node: str) -> list[Owner]:
        return list(self._nodes.get(node, ()))

    def nodes(self) -> list[str]:
        return list(self._nodes)

    def in_slot(self, slot: int) -> list[R]:
        return list(self._slots.get(slot, ()))

    def slots(self) -> list[int]:
        """Slots that hold anything."""
        return list(self._slots)

    def invariants(self) -> None:
        by_slot = [record for slot in self._slots.values() for record in slot]
        by_owner = [record for _, records in self._owners.values() for record in records]
        assert {id(r) for r in by_slot if r.owner.node} == {id(r) for r in by_owner}
        assert all(record.slot == slot for slot, records in self._slots.items() for record in records)
        assert all(self._slots.values())
        assert all(records for _, records in self._owners.values())
        assert {o for owners in self._nodes.values() for o in owners} == set(self._owners)
        assert all(o.node == node for node, owners in self._nodes.items() for o in owners)
