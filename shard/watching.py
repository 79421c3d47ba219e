"""What watchers are told, and when: at once, when the slot is filled, or when a lost worker had time to come back."""

from collections.abc import Callable, Collection, Iterable, Mapping

from iii_cluster.cluster.slots import slot_of
from iii_cluster.routing.keys import (
    FUNCTION,
    SERVED,
    function_key,
    parse_function_key,
    parse_served_key,
    slot_of_key,
)

from .bindings import Bindings
from .effects import Effects
from .expected import Expected
from .functions import Functions
from .holds import Holds
from .pushes import Pushes
from .slots import SlotTable
from .trigger_types import Binding
from .watches import Watches


class Watching:
    """`now` is seconds of any monotonic clock."""

    def __init__(
        self, effects: Effects, slots: SlotTable, holds: Holds, functions: Functions, bindings: Bindings, window: float
    ) -> None:
        self.watches = Watches()
        self.expected = Expected(window)
        self._slots = slots
        self._holds = holds
        self._functions = functions
        self._bindings = bindings
        self._pushes = Pushes(effects, self.watches, self._postpone, self._served)
        self._stirred: set[int] = set()  # slots with functions that have changed

    # -- watches

    def watch(self, node: str, key: str, epoch: int) -> None:
        slot = slot_of_key(key)
        if slot is None:
            return
        if self._slots.ready(slot):
            if self._is_undecided(key):
                self._holds.watch(slot, node, key, epoch)
            elif not self._is_expected(key, node, epoch):
                self._pushes.answer(self._functions, self._bindings, slot, node, key, epoch)
        elif self._slots.owns(slot) or epoch > self._slots.map.epoch:
            self._holds.watch(slot, node, key, epoch)

    def unwatch(self, node: str, key: str) -> None:
        slot = slot_of_key(key)
        if slot is None:
            return
        self.watches.remove(node, key)
        self._holds.unwatch(slot, node, key)
        if key.startswith(FUNCTION):
            self.expected.unask(node, *parse_function_key(key))

    def wake(self, slot: int) -> None:
        """Look again at the watches that are held of a slot, and at what could not be told of it."""
        self._look_again(slot)
        for key in self.watches.in_slot(slot):
            if key.startswith(SERVED):
                self._pushes.service_changed(*parse_served_key(key))

    def end_slots(self, slots: Collection[int], keep: Callable[[int, int], bool]) -> None:
        """Our time with them is over. A watch whose epoch `keep(slot, epoch)` accepts may be ours to answer again."""
        for slot in slots:
            for node, key, epoch in self.watches.end_slot(slot, lambda epoch, slot=slot: keep(slot, epoch)):  # type: ignore[misc]
                self._holds.watch(slot, node, key, epoch)
        for (namespace, id), node, epoch in self.expected.end_slots(slots, keep):
            self._holds.watch(slot_of(id), node, function_key(namespace, id), epoch)

    def drop_nodes(self, nodes: Collection[str]) -> None:
        for node in nodes:
            self.watches.drop_node(node)
        self._holds.drop_nodes(nodes)
        self.expected.drop_nodes(nodes)

    def nodes(self) -> set[str]:
        return {*self.watches.nodes(), *self._holds.nodes(), *self.expected.nodes()}

    # -- changes

    def function_changed(self, namespace: str, id: str) -> None:
        self._pushes.function_changed(namespace, id)
        self._stirred.add(slot_of(id))

    def trigger_changed(self, binding: Binding, bound: bool) -> None:
        self._pushes.trigger_changed(binding, bound)

    def flush(self) -> None:
        """Push what has changed; once per event. Functions that were undecided may not be any more."""
        self._pushes.flush(self._functions)
        stirred, self._stirred = self._stirred, set()
        for slot in stirred:
            self._look_again(slot)

    # -- functions whose worker is expected back

    def expect(self, functions: Iterable[tuple[str, str]], now: float) -> None:
        """These, by namespace and id, lost an owner whose worker may come back soon: wait if it was the last."""
        for namespace, id in functions:
            slot = slot_of(id)
            if self._slots.owns(slot) and self._functions.find(namespace, id) is None:
                self.expected.expect(slot, namespace, id, now)

    def registered(self, namespace: str, id: str) -> None:
        """A function has an owner: answer who waited for it."""
        self._answer(namespace, id, self.expected.take(namespace, id))

    def tick(self, now: float) -> None:
        """Expect nobody longer than is due; call it at `expected.deadline()`."""
        for (namespace, id), asking in self.expected.tick(now):
            self._answer(namespace, id, asking)
            self._pushes.service_changed(namespace, id)

    def _look_again(self, slot: int) -> None:
        for node, key, epoch in self._holds.take_watches(slot):
            self.watch(node, key, epoch)

    def _is_undecided(self, key: str) -> bool:
        return key.startswith(FUNCTION) and self._functions.undecided(*parse_function_key(key))

    def _answer(self, namespace: str, id: str, asking: Mapping[str, int]) -> None:
        for node, epoch in asking.items():
            self.watch(node, function_key(namespace, id), epoch)

    def _is_expected(self, key: str, node: str, epoch: int) -> bool:
        return key.startswith(FUNCTION) and self.expected.ask(*parse_function_key(key), {node: epoch})

    def _postpone(self, namespace: str, id: str, watchers: dict[str, int]) -> bool:
        """Whether nobody hears yet that a function has no owners: they may be announced again."""
        slot = slot_of(id)
        if self._slots.ready(slot):
            return self.expected.ask(namespace, id, watchers)
        for node, epoch in watchers.items():
            self._holds.watch(slot, node, function_key(namespace, id), epoch)
        return True

    def _served(self, namespace: str, id: str) -> bool | None:
        """Whether a function has owners, or will soon; None while its slot is filled: they may be announced again."""
        if not self._slots.ready(slot_of(id)):
            return None
        return self._functions.find(namespace, id) is not None or (namespace, id) in self.expected

    def invariants(self) -> None:
        self.watches.invariants()
        self.expected.invariants()
        assert not self._pushes.pending
        assert not self._stirred
        for key in self.watches.keys():  # noqa: SIM118 - not a mapping
            watched = self.watches.get(key)
            assert watched is not None
            assert self._slots.owns(watched.slot)
            if key.startswith(FUNCTION):
                assert not (self._slots.ready(watched.slot) and self._is_undecided(key))
                assert watched.owners == self._functions.owners(*parse_function_key(key)) != []
                assert watched.metadata == self._functions.metadata(*parse_function_key(key))
            elif key.startswith(SERVED):
                assert self._served(*parse_served_key(key)) in (watched.served, None)
        for namespace, id in self.expected.keys():  # noqa: SIM118 - not a mapping
            assert self._slots.owns(slot_of(id))
            assert self._functions.find(namespace, id) is None
