"""Firing trigger types from a node that is not a gateway: resolve each target and send it the event."""

from collections.abc import Collection
from uuid import uuid4

from iii_cluster.bus.envelopes import FunctionOwners, Invoke, Refused, Result, Trigger, TriggerChange, TriggerSnapshot
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.cluster.membership import Membership

from .subscriptions import Subscriptions
from .table import Route, RouteTable

# How long an event waits for the owners of its target, seconds.
LOOKUP_PATIENCE = 10.0


class Firing:
    """Fires events at functions, wherever they are; nobody waits for the results.

    Takes the handlers of watch answers, results and refusals on this node's bus.
    """

    def __init__(self, bus: Bus, membership: Membership) -> None:
        self._bus = bus
        self._subscriptions = Subscriptions(bus)
        self._routes = RouteTable("", bus)
        bus.on(FunctionOwners, self._routes.on_owners)
        bus.on(TriggerSnapshot, self._subscriptions.on_snapshot)
        bus.on(TriggerChange, self._subscriptions.on_change)
        bus.on(Refused, self._on_refused)
        bus.on(Result, lambda _node, _result: None)
        membership.subscribe(self._on_map)
        self._on_map(membership.map, membership.map)

    def watch(self, trigger_type: str) -> None:
        self._subscriptions.watch(trigger_type)

    def triggers(self, trigger_type: str) -> Collection[Trigger]:
        return self._subscriptions.triggers(trigger_type)

    def fire(self, trigger_type: str, data: bytes) -> None:
        """Invoke the target of every bound trigger of the type with `data` (JSON)."""
        for trigger in self._subscriptions.triggers(trigger_type):
            self._invoke(
                Invoke(
                    str(uuid4()),
                    0,
                    trigger.function,
                    data,
                    namespace=trigger.namespace,
                    metadata=trigger.metadata,
                )
            )

    def expire(self, now: float) -> None:
        """Give up events whose target no shard could name in time; call it now and then."""
        self._routes.expire(now, LOOKUP_PATIENCE)

    def on_reset(self, node: str) -> None:
        """The link to `node` was reset: watches there are gone."""
        self._routes.on_reset(node)
        self._subscriptions.on_reset(node)

    def _invoke(self, invoke: Invoke) -> None:
        route = self._routes.ready(invoke.namespace, invoke.function)
        if route is not None:
            self._send(route, invoke)
        else:
            self._routes.lookup(invoke.namespace, invoke.function, lambda route: self._send(route, invoke))

    def _send(self, route: Route, invoke: Invoke) -> None:
        target = route.choose()
        if target is not None:
            invoke.conn = target.conn
            self._bus.send(target.node, invoke)

    def _on_refused(self, node: str, refused: Refused) -> None:
        invoke = refused.invoke
        route = self._routes.get(invoke.namespace, invoke.function)
        target = self._routes.target(node, invoke.conn)
        if route is not None and target is not None:
            self._routes.disown(route, target)
            self._send(route, invoke)

    def _on_map(self, _old: ClusterMap, new: ClusterMap) -> None:
        self._routes.on_map(new)
        self._subscriptions.on_map(new)
