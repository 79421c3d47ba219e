"""Firing trigger types from a node that is not a gateway: resolve each target and send it the event."""

from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from uuid import uuid4

from iii_cluster.bus.envelopes import FunctionOwners, Invoke, Refused, Result, Trigger, TriggerChange, TriggerSnapshot
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.cluster.membership import Membership

from .route import Route, Target
from .subscriptions import Subscriptions
from .table import RouteTable

# How long an event waits for the owners of its target, or for the triggers of its type, seconds.
LOOKUP_PATIENCE = 10.0
MAX_REFUSALS = 5  # of one event; its target may be moving from gateway to gateway
MAX_REMEMBERED = 1000  # events refused once and not answered yet


class Firing:
    """Fires events at functions, wherever they are; nobody waits for the results.

    Takes the handlers of watch answers, results and refusals on this node's bus.
    """

    def __init__(self, bus: Bus, membership: Membership) -> None:
        self.on_sent: Callable[[], None] | None = None  # the last event that had to wait is on its way, or given up
        self._bus = bus
        self._subscriptions = Subscriptions(bus)
        self._routes = RouteTable("", bus)
        self._looked_up = 0  # events whose target is being looked up
        self._early: list[tuple[str, bytes, str, float]] = []  # events of types whose triggers are not known yet
        self._refusals: dict[str, int] = {}  # by invocation id
        self._now = 0.0  # seconds, moved by expire()
        bus.on(FunctionOwners, self._routes.on_owners)
        bus.on(TriggerSnapshot, self._on_snapshot)
        bus.on(TriggerChange, self._subscriptions.on_change)
        bus.on(Refused, self._on_refused)
        bus.on(Result, self._on_result)
        membership.subscribe(self._on_map)
        self._on_map(membership.map, membership.map)

    def watch(self, trigger_type: str) -> None:
        self._subscriptions.watch(trigger_type)

    def triggers(self, trigger_type: str) -> Collection[Trigger]:
        return self._subscriptions.triggers(trigger_type)

    @property
    def all_sent(self) -> bool:
        """Nothing waits for a shard to say where it is to go."""
        return not self._looked_up and not self._early

    def fire(self, trigger_type: str, data: bytes, once: str = "") -> None:
        """Invoke the target of every bound trigger of the type with `data` (JSON).

        `once` names an event that another node may tell of, too: both choose the same gateway, which drops the second.
        """
        if not self._subscriptions.known(trigger_type):
            self._early.append((trigger_type, data, once, self._now))
            return
        for trigger in self._subscriptions.triggers(trigger_type):
            self._invoke(
                Invoke(
                    str(uuid4()),
                    0,
                    trigger.function,
                    data,
                    namespace=trigger.namespace,
                    metadata=trigger.metadata,
                    once=once and f"{once}:{trigger.id}",
                )
            )

    def expire(self, now: float) -> None:
        """Give up events whose target no shard could name in time; call it now and then."""
        self._now = now
        self._routes.expire(now, LOOKUP_PATIENCE)
        if self._early:
            self._early = [event for event in self._early if now - event[3] <= LOOKUP_PATIENCE]
            self._maybe_all_sent()

    def on_reset(self, node: str) -> None:
        """The link to `node` was reset: watches there are gone."""
        self._routes.on_reset(node)
        self._subscriptions.on_reset(node)

    def _invoke(self, invoke: Invoke) -> None:
        route = self._routes.ready(invoke.namespace, invoke.function)
        if route is not None:
            self._send(route, invoke)
        else:
            self._looked_up += 1
            self._routes.lookup(invoke.namespace, invoke.function, lambda route: self._found(route, invoke))

    def _found(self, route: Route, invoke: Invoke) -> None:
        self._looked_up -= 1
        self._send(route, invoke)
        self._maybe_all_sent()

    def _send(self, route: Route, invoke: Invoke) -> None:
        target = _same_for_all(invoke.once, (*route.local, *route.remote)) if invoke.once else route.choose()
        if target is not None:
            invoke.conn = target.conn
            self._bus.send(target.node, invoke)

    def _on_result(self, _node: str, result: Result) -> None:
        self._refusals.pop(result.id, None)

    def _on_refused(self, node: str, refused: Refused) -> None:
        invoke = refused.invoke
        route = self._routes.get(invoke.namespace, invoke.function)
        target = self._routes.target(node, invoke.conn)
        if route is not None and target is not None:
            self._routes.disown(route, target)
        refusals = self._refusals.pop(invoke.id, 0) + 1
        if refusals <= MAX_REFUSALS:
            self._refusals[invoke.id] = refusals
            if len(self._refusals) > MAX_REMEMBERED:
                del self._refusals[next(iter(self._refusals))]
            self._invoke(invoke)

    def _on_snapshot(self, shard: str, said: TriggerSnapshot) -> None:
        self._subscriptions.on_snapshot(shard, said)
        early, self._early = self._early, []
        for trigger_type, data, once, _at in early:
            self.fire(trigger_type, data, once)
        if early:
            self._maybe_all_sent()

    def _on_map(self, _old: ClusterMap, new: ClusterMap) -> None:
        """Of a map without this node nothing follows: shards refuse what a stranger asks."""
        if self._bus.node_id in new.nodes:
            self._routes.on_map(new)
            self._subscriptions.on_map(new)

    def _maybe_all_sent(self) -> None:
        if self.all_sent and self.on_sent is not None:
            self.on_sent()


def _same_for_all(name: str, targets: Iterable[Target]) -> Target | None:
    """One of the targets, the same for everybody who knows the same ones, in whatever order."""
    return max(targets, key=lambda target: _weight(name, target), default=None)


def _weight(name: str, target: Target) -> bytes:
    return blake2b(f"{name}:{target.node}:{target.conn}".encode(), digest_size=8).digest()
