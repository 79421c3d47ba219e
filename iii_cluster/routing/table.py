"""All routes of a node: who serves a function, watched at the shard that owns its slot. Pure: no clock, no I/O."""

import logging
from collections.abc import Callable, Iterable

from iii_cluster.bus.envelopes import FunctionOwners, Owner, Unwatch, Watch
from iii_cluster.bus.outbox import Outbox
from iii_cluster.cluster.map import ClusterMap

from .keys import parse_function_key
from .route import Route, Target

log = logging.getLogger(__name__)

# Nodes that left the map which are remembered: a shard may name them as owners for a while.
MAX_DEPARTED = 1_000

Key = tuple[str, str]  # namespace, function id


class RouteTable:
    """All routes of a node.

    With `trust_local`, functions that trusted connections of this node registered are served before any shard
    confirms them (the `balance` policy); without it, only owners the shard names are used.
    """

    def __init__(
        self,
        node: str,
        outbox: Outbox,
        *,
        trust_local: bool = True,
        released: Callable[[Target], None] = lambda _: None,
    ) -> None:
        self.node = node
        self.map = ClusterMap()
        self.now = 0.0  # seconds, moved by expire()
        self._outbox = outbox
        self._trust_local = trust_local
        self._released = released  # told of a target that no route lists any more
        self._routes: dict[Key, Route] = {}
        self._targets: dict[tuple[str, int], Target] = {}
        self._held: set[Route] = set()  # calls, or decisions, wait for the answer
        self._avoided: set[str] = set()  # nodes
        self._departed: dict[str, None] = {}  # nodes, oldest first

    def __len__(self) -> int:
        return len(self._routes)

    def get(self, namespace: str, function: str) -> Route | None:
        return self._routes.get((namespace, function))

    def target(self, node: str, conn: int) -> Target | None:
        return self._targets.get((node, conn))

    def departed(self, node: str) -> bool:
        """Whether the node was in the map and is not any more, as far as is remembered."""
        return node in self._departed

    def targets_of(self, node: str) -> list[Target]:
        return [target for target in self._targets.values() if target.node == node]

    # -- lookups -----------------------------------------------------------------------------------

    def ready(self, namespace: str, function: str) -> Route | None:
        """A route that can be used at once, None when it has to be looked up."""
        route = self._routes.get((namespace, function))
        if route is None or (not route.local and not route.remote):
            return None
        if not route.asked:
            self._watch(route)
        return route

    def lookup(self, namespace: str, function: str, then: Callable[[Route], None]) -> str:
        """Call `then(route)` when the owners are known; a route without owners means not found.

        Returns the shard that was asked, "" while nobody owns the slot.
        """
        route = self._routes.get((namespace, function))
        if route is None:
            route = self._routes[namespace, function] = Route(namespace, function)
        if route.waiting is None:
            route.waiting = []
            self._ask(route)
        route.waiting.append(then)
        return route.asked

    def metadata(self, namespace: str, function: str, then: Callable[[bytes], None]) -> None:
        """Call `then` with the metadata that all owners agree on: at once if it is known, else when a shard has said.

        JSON; empty without metadata, owners, or an answer. What this node's own workers registered is no answer.
        """
        route = self._routes.get((namespace, function))
        if route is not None and route.metadata is not None:
            then(route.metadata)
            return
        if route is None:
            route = self._routes[namespace, function] = Route(namespace, function)
        route.undecided.append(then)
        if route.waiting is None and len(route.undecided) == 1:
            self._ask(route)

    def _ask(self, route: Route) -> None:
        """Watch it, and have somebody wait for the answer."""
        route.asked_at = self.now
        self._held.add(route)
        self._watch(route)

    def _watch(self, route: Route) -> None:
        shard = self.map.owner(route.function)
        route.asked = shard
        if shard:
            self._outbox.send(shard, Watch(self.map.epoch, [route.key]))

    # -- what shards say ---------------------------------------------------------------------------

    def on_owners(self, shard: str, said: FunctionOwners) -> None:
        namespace, function = parse_function_key(said.key)
        route = self._routes.get((namespace, function))
        if route is None:
            if said.owners:
                self._outbox.send(shard, Unwatch([said.key]))
            return
        if route.asked != shard:
            return  # a former owner of the slot
        self._set_owners(route, [owner for owner in said.owners if owner.node not in self._departed])
        if route in self._held and self._is_outdated(route, said.owners):
            return
        route.disowned = False
        route.elsewhere = said.elsewhere
        route.metadata = said.metadata if said.owners else None
        self._release(route)
        self._decide(route)
        if not said.owners:
            route.asked = ""  # the shard does not watch a function that nobody serves
            self._forget_if_empty(route)

    def _is_outdated(self, route: Route, said: list[Owner]) -> bool:
        """Whether the shard has yet to hear that all it named are gone; when it has, it is asked again."""
        if said:
            route.outdated = not route.local and not route.remote
            return route.outdated
        if route.outdated:
            route.outdated = False
            self._watch(route)
            return True
        return False

    def _set_owners(self, route: Route, owners: Iterable[Owner]) -> None:
        remote: list[Target] = []
        local: list[Target] = []
        for owner in owners:
            if owner.node != self.node:
                remote.append(self._use(owner))
            elif not self._exports(owner):
                local.append(self._use(owner))
        exported: list[Target] = []
        for target in route.local:
            if self._trust_local and target.trusted:
                exported.append(target)
            else:
                self._unuse(target)
        for target in route.remote:
            self._unuse(target)
        route.remote = remote
        route.local = exported + local

    def _exports(self, owner: Owner) -> bool:
        """Whether this connection of ours is listed by its own word, not by a shard's."""
        target = self._targets.get((owner.node, owner.conn))
        return self._trust_local and (target is None or target.trusted)

    def _release(self, route: Route) -> None:
        if route.waiting is not None:
            waiting, route.waiting = route.waiting, None
            if not route.undecided:
                self._held.discard(route)
            for then in waiting:
                try:
                    then(route)
                except Exception:
                    log.exception("action=lookup_failed function=%s", route.function)

    def _decide(self, route: Route) -> None:
        """Tell the metadata to who waits for it; calls have been released."""
        if route.waiting is None:
            self._held.discard(route)
        undecided, route.undecided = route.undecided, []
        for then in undecided:
            try:
                then(route.metadata or b"")
            except Exception:
                log.exception("action=decision_failed function=%s", route.function)

    def _forget_if_empty(self, route: Route) -> None:
        if not route.local and not route.remote and route not in self._held and not route.asked:
            self._routes.pop((route.namespace, route.function), None)

    # -- what happens on this node -----------------------------------------------------------------

    def export(self, namespace: str, function: str, target: Target, *, trusted: bool = True) -> None:
        """A connection of this node registered the function; what is not `trusted` serves when a shard says so."""
        target.trusted = trusted
        if not (self._trust_local and trusted):
            return
        route = self._routes.get((namespace, function))
        if route is None:
            route = self._routes[namespace, function] = Route(namespace, function)
        if target not in route.local:
            route.local.append(target)
            target.uses += 1
        self._release(route)

    def withdraw(self, namespace: str, function: str, target: Target) -> None:
        """A connection of this node does not serve the function any more."""
        route = self._routes.get((namespace, function))
        if route is not None and target in route.local:
            route.local.remove(target)
            self._unuse(target)
            self._forget_if_empty(route)

    def own_target(self, conn: int, worker: str) -> Target:
        """The target of a connection of this node; the connection keeps it alive."""
        return self._use(Owner(self.node, conn, worker))

    def release_target(self, target: Target) -> None:
        self._unuse(target)

    def disown(self, route: Route, target: Target) -> None:
        """The target refused a call: it does not serve this function although the shard still says so."""
        for targets in (route.local, route.remote):
            if target in targets:
                targets.remove(target)
                route.disowned = True
                self._unuse(target)

    # -- cluster changes ---------------------------------------------------------------------------

    def on_map(self, new: ClusterMap) -> None:
        """Drop targets of vanished nodes and ask the new owners of moved slots. Cached owners keep serving."""
        old, self.map = self.map, new
        gone = old.nodes.keys() - new.nodes.keys()
        self._avoided -= gone
        self._note_departures(gone, new)
        for route in list(self._routes.values()):
            if gone:
                self._drop_nodes(route, gone)
            if (route.asked or route in self._held) and self._moved(route, old, new):
                self._watch(route)

    def _note_departures(self, gone: Iterable[str], new: ClusterMap) -> None:
        self._departed |= dict.fromkeys(gone)
        for node in self._departed.keys() & new.nodes.keys():
            del self._departed[node]
        while len(self._departed) > MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]

    def _moved(self, route: Route, old: ClusterMap, new: ClusterMap) -> bool:
        return old.slot(route.function) != new.slot(route.function) or route.asked != new.owner(route.function)

    def _drop_nodes(self, route: Route, gone: Iterable[str]) -> None:
        for target in [t for t in route.remote if t.node in gone]:
            route.remote.remove(target)
            self._unuse(target)

    def set_avoided(self, node: str, on: bool) -> None:
        """Whether calls should go elsewhere while they can: nobody listens at the node now."""
        if on:
            self._avoided.add(node)
        else:
            self._avoided.discard(node)
        for target in self.targets_of(node):
            target.avoided = on

    def blocked(self, namespace: str, function: str) -> bool:
        """Whether all who serve the function, if anybody, are to be avoided."""
        route = self._routes.get((namespace, function))
        target = route.choose() if route is not None else None
        return target is not None and target.avoided

    def reincarnate(self, new: str) -> None:
        """This node goes on under a new id: it knows of nobody else until its next map."""
        old, self.node = self.node, new
        self._note_departures(self.map.nodes, ClusterMap())  # whoever the next map names is back
        self.map = ClusterMap()
        self._avoided.clear()
        for route in list(self._routes.values()):
            for target in route.remote:
                self._unuse(target)
            route.remote = []
            route.elsewhere = []
            route.asked = ""
            self._forget_if_empty(route)
        for target in self.targets_of(old):
            del self._targets[old, target.conn]
            target.node = new
            self._targets[new, target.conn] = target

    def on_reset(self, shard: str) -> None:
        """The link to a shard was reset: it forgot our watches."""
        for route in self._routes.values():
            if route.asked == shard:
                self._watch(route)

    def expire(self, now: float, limit: float) -> None:
        """Move the clock; give up lookups older than `limit` seconds: their calls get an `unanswered` route."""
        self.now = now
        for route in [route for route in self._held if now - route.asked_at > limit]:
            if route.waiting is not None:
                route.unanswered = True
                self._routes.pop((route.namespace, route.function), None)
                self._release(route)
            elif not route.local and not route.remote:
                self._routes.pop((route.namespace, route.function), None)
            self._decide(route)

    # -- targets -----------------------------------------------------------------------------------

    def _use(self, owner: Owner) -> Target:
        key = (owner.node, owner.conn)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = Target(owner.node, owner.conn, owner.worker)
            target.avoided = owner.node in self._avoided
        target.uses += 1
        return target

    def _unuse(self, target: Target) -> None:
        target.uses -= 1
        if target.uses == 0:
            self._targets.pop((target.node, target.conn), None)
            self._released(target)
