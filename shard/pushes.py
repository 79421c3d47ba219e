"""Answering watches and pushing changes: once per key and event, however many registrations the event touched."""

from collections.abc import Callable

from iii_cluster.bus.envelopes import FunctionOwners, Served, TriggerChange, TriggerSnapshot
from iii_cluster.routing.keys import (
    SERVED,
    TRIGGERS,
    function_key,
    parse_function_key,
    parse_served_key,
    served_key,
    triggers_key,
)

from .bindings import Bindings
from .effects import Effects
from .functions import Functions
from .trigger_types import Binding
from .watches import Watches


class Pushes:
    """Gathers changes of watched keys until `flush`.

    `postpone` may take over the watchers of a function that lost its owners, by node the epoch of the watch: they are
    told nothing then. `served` tells whether a function is, None while that is not to be told.
    """

    def __init__(
        self,
        effects: Effects,
        watches: Watches,
        postpone: Callable[[str, str, dict[str, int]], bool],
        served: Callable[[str, str], bool | None],
    ) -> None:
        self._effects = effects
        self._watches = watches
        self._postpone = postpone
        self._served = served
        self._functions: dict[str, tuple[str, str]] = {}  # key -> namespace, id
        self._services: dict[str, tuple[str, str]] = {}  # the same, for whether they are served
        self._triggers: dict[str, dict[str, Binding | None]] = {}  # type -> trigger id -> what is bound

    def function_changed(self, namespace: str, id: str) -> None:
        key = function_key(namespace, id)
        if key in self._watches:
            self._functions[key] = (namespace, id)
        self.service_changed(namespace, id)

    def service_changed(self, namespace: str, id: str) -> None:
        """Whether a function is served may have changed."""
        key = served_key(namespace, id)
        if key in self._watches:
            self._services[key] = (namespace, id)

    def trigger_changed(self, binding: Binding, bound: bool) -> None:
        type = binding.trigger.type
        if triggers_key(type) in self._watches:
            self._triggers.setdefault(type, {})[binding.trigger.id] = binding if bound else None

    def answer(self, functions: Functions, bindings: Bindings, slot: int, node: str, key: str, epoch: int) -> None:
        """Tell `node` what `key` is now, and watch it from here on; a function nobody serves is not watched."""
        if key.startswith(TRIGGERS):
            watched = self._watches.add(node, key, slot, epoch)
            bound = bindings.bound(key.removeprefix(TRIGGERS))
            triggers, stamps = [b.trigger for b in bound], [b.stamp for b in bound]
            self._effects.send(node, TriggerSnapshot(key, watched.version, triggers, stamps))
            return
        if key.startswith(SERVED):
            watched = self._watches.add(node, key, slot, epoch)
            watched.served = bool(self._served(*parse_served_key(key)))
            self._effects.send(node, Served(key, watched.served))
            return
        namespace, id = parse_function_key(key)
        owners = functions.owners(namespace, id)
        elsewhere = [] if owners else functions.elsewhere(namespace, id)
        metadata = functions.metadata(namespace, id)
        if owners:
            watched = self._watches.add(node, key, slot, epoch)
            watched.owners, watched.metadata = owners, metadata
        self._effects.send(node, FunctionOwners(key, self._watches.next_version(), owners, elsewhere, metadata))

    def flush(self, functions: Functions) -> None:
        while self._functions:
            key, (namespace, id) = self._functions.popitem()
            self._push_owners(functions, key, namespace, id)
        while self._services:
            key, (namespace, id) = self._services.popitem()
            self._push_served(key, namespace, id)
        while self._triggers:
            type, changes = self._triggers.popitem()
            self._push_triggers(triggers_key(type), changes)

    def _push_owners(self, functions: Functions, key: str, namespace: str, id: str) -> None:
        watched = self._watches.get(key)
        owners = functions.owners(namespace, id)
        if watched is None:
            return
        metadata = functions.metadata(namespace, id)
        if owners == watched.owners and metadata == watched.metadata:
            return
        if not owners and self._postpone(namespace, id, watched.watchers.copy()):
            self._watches.drop_key(key)
            return
        watched.owners, watched.metadata = owners, metadata
        watched.version = self._watches.next_version()
        elsewhere = [] if owners else functions.elsewhere(namespace, id)
        push = FunctionOwners(key, watched.version, owners, elsewhere, metadata)
        for node in watched.watchers:
            self._effects.send(node, push)
        if not owners:
            self._watches.drop_key(key)

    def _push_served(self, key: str, namespace: str, id: str) -> None:
        watched = self._watches.get(key)
        served = self._served(namespace, id)
        if watched is None or served is None or served == watched.served:
            return
        watched.served = served
        for node in watched.watchers:
            self._effects.send(node, Served(key, served))

    def _push_triggers(self, key: str, changes: dict[str, Binding | None]) -> None:
        watched = self._watches.get(key)
        if watched is None:
            return
        put = [binding for binding in changes.values() if binding is not None]
        dropped = [id for id, binding in changes.items() if binding is None]
        triggers, stamps = [binding.trigger for binding in put], [binding.stamp for binding in put]
        push = TriggerChange(key, self._watches.next_version(watched), triggers, dropped, stamps)
        for node in watched.watchers:
            self._effects.send(node, push)

    @property
    def pending(self) -> bool:
        return bool(self._functions or self._services or self._triggers)
