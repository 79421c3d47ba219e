"""Releasing what connections and nodes that are gone had registered, and what is in slots that are another's."""

from collections.abc import Callable, Collection
from typing import Any

from iii_cluster.bus.envelopes import Owner

from .bindings import Bindings
from .functions import Functions
from .ownership import Ownership
from .services import Services
from .triggers import Triggers
from .watching import Watching


class Losses:
    """`now` is seconds of any monotonic clock."""

    def __init__(
        self, functions: Functions, services: Services, triggers: Triggers, bindings: Bindings, watching: Watching
    ) -> None:
        self._functions = functions
        self._services = services
        self._triggers = triggers
        self._bindings = bindings
        self._watching = watching

    def indexes(self) -> list[Ownership[Any]]:
        registries = (self._functions.index, self._services.index, self._triggers.index)
        return [*registries, self._bindings.index, self._bindings.providers]

    def slots(self) -> set[int]:
        """Those that hold anything."""
        return {slot for index in self.indexes() for slot in index.slots()}

    def nodes(self) -> set[str]:
        """Those that registered anything."""
        return {node for index in self.indexes() for node in index.nodes()}

    def end_slot(self, slot: int, accepts: Callable[[int, int], bool]) -> None:
        """Drop what `accepts(slot, epoch)` refuses; a peer ahead of us has announced for its own map already."""

        def keep(epoch: int) -> bool:
            return accepts(slot, epoch)

        for registration in self._functions.index.in_slot(slot):
            if not keep(registration.epoch):
                self._functions.remove(registration)
        for service in self._services.index.in_slot(slot):
            if not keep(service.epoch):
                self._services.remove(service)
        for stored in self._triggers.index.in_slot(slot):
            if not keep(stored.epoch):
                self._triggers.remove(stored)
        self._bindings.end_slot(slot, keep)

    def release_nodes(self, nodes: Collection[str], now: float, expect: bool) -> None:
        """Their workers may come back; with `expect` calls and triggers wait for that."""
        self._watching.drop_nodes(nodes)
        owners = {owner: None for index in self.indexes() for node in nodes for owner in index.owners_on(node)}
        self.release_functions(owners, owners, now, expect)
        self.release_triggers(owners, owners if expect else (), now)

    def release_functions(
        self, owners: Collection[Owner], back: Collection[Owner], now: float, expect: bool = True
    ) -> None:
        """`back`: those whose workers may come back; with `expect` calls wait for that."""
        lost = [r.function for owner in back for r in self._functions.index.of_owner(owner)] if expect else []
        for owner in owners:
            self._functions.release(owner, now, owner in back)
            self._services.release(owner)
        self._watching.expect([(function.namespace, function.id) for function in lost], now)

    def release_triggers(self, owners: Collection[Owner], back: Collection[Owner], now: float) -> None:
        """`back`: those whose workers may come back; their triggers stay bound until then."""
        for owner in owners:
            self._triggers.release(owner, owner in back, now)
        self._bindings.release(owners, back, now)
