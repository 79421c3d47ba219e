"""Triggers by id: storage, replacement and removal. Binding to providers is the business of the type's slot."""

from collections.abc import Callable
from dataclasses import dataclass

from iii_cluster.bus.envelopes import DropTrigger, Owner, PutTrigger, RevokeTrigger, Trigger
from iii_cluster.cluster.durable import DURABLE
from iii_cluster.cluster.slots import slot_of

from .effects import Effects
from .lingering import Lingering
from .ownership import Ownership, Record


@dataclass(slots=True, eq=False)
class StoredTrigger(Record):
    stamp: int  # unix time in microseconds
    trigger: Trigger


class Triggers:
    """`ready` tells whether a slot is filled.

    In a filled slot the trigger that arrives last holds the id: stamps of different gateways come from
    different clocks, and a worker that moved to a slow one must not lose its trigger to its own past. In a
    filling slot arrival means nothing, so the newer stamp holds it.
    """

    def __init__(
        self,
        effects: Effects,
        ready: Callable[[int], bool],
        forget_durable: Callable[[Trigger], None],
        unbind: Callable[[Trigger, Owner], None],
        window: float,
    ) -> None:
        """`unbind` tells the type's slot that what an owner left behind is over."""
        self.index: Ownership[StoredTrigger] = Ownership()
        self.lingering = Lingering(self.index, window)
        self._effects = effects
        self._ready = ready
        self._forget_durable = forget_durable
        self._unbind = unbind
        self._ids: dict[str, StoredTrigger] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, id: str) -> StoredTrigger | None:
        return self._ids.get(id)

    def put(self, put: PutTrigger) -> None:
        id = put.trigger.id
        slot = slot_of(id)
        known = self._ids.get(id)
        if known is not None and known.owner == put.owner:
            known.epoch = max(known.epoch, put.epoch)
            known.stamp, known.trigger = put.stamp, put.trigger
            return
        stored = StoredTrigger(self.index.canonical(put.owner), slot, put.epoch, put.stamp, put.trigger)
        if known is not None and known in self.lingering:
            self.remove(known)
            if known.trigger.type != put.trigger.type:
                self._unbind(known.trigger, known.owner)
        elif known is not None:
            if not self._ready(slot) and known.stamp > put.stamp:
                self._revoke(stored)
                return
            self.remove(known)
            self._revoke(known)
        self._ids[id] = stored
        self.index.add(stored)

    def drop(self, drop: DropTrigger, now: float) -> None:
        known = self._ids.get(drop.id)
        if known is not None and (known.owner == drop.owner or self.lingering.left(known, drop.owner)):
            self._leave(known, drop.back, now)

    def remove_by_id(self, id: str) -> None:
        """Removal by anyone; the owner's gateway, or storage, has to forget it too."""
        known = self._ids.get(id)
        if known is not None:
            self.remove(known)
            self._revoke(known, removed=True)

    def remove(self, stored: StoredTrigger) -> None:
        del self._ids[stored.trigger.id]
        self.index.remove(stored)
        self.lingering.forget(stored)

    def tick(self, now: float) -> None:
        """Forget what was left behind; call it at `lingering.deadline()`."""
        for stored in self.lingering.over(now):
            self.remove(stored)

    def release(self, owner: Owner, back: bool, now: float) -> None:
        """`back`: its worker is expected to connect again."""
        for stored in self.index.of_owner(owner):
            self._leave(stored, back, now)

    def _leave(self, stored: StoredTrigger, back: bool, now: float) -> None:
        if not (back and self.lingering.keep(stored, now)):
            self.remove(stored)

    def _revoke(self, stored: StoredTrigger, *, removed: bool = False) -> None:
        if stored.owner == DURABLE:
            self._forget_durable(stored.trigger)
        elif not stored.owner.node:
            self._unbind(stored.trigger, stored.owner)
        else:
            revoke = RevokeTrigger(stored.owner.conn, stored.trigger.id, stored.stamp, removed)
            self._effects.send(stored.owner.node, revoke)

    def invariants(self) -> None:
        self.index.invariants()
        self.lingering.invariants()
        indexed = [stored for slot in self.index.slots() for stored in self.index.in_slot(slot)]
        assert {id(s) for s in self._ids.values()} == {id(s) for s in indexed}
        assert all(stored.trigger.id == id for id, stored in self._ids.items())
