"""Firing trigger types from a node that is not a gateway: each target is sent the event, nobody waits for results."""

from collections.abc import Callable, Collection

from iii_cluster.bus.envelopes import Trigger, TriggerChange, TriggerSnapshot
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.cluster.membership import Membership

from .caller import PATIENCE, Caller
from .subscriptions import Subscriptions
from .telemetry import CallerTelemetry


class Firing:
    """Fires events at functions, wherever they are.

    Takes the handlers of watch answers, results and refusals on this node's bus, and what it tells of nodes.
    """

    def __init__(self, bus: Bus, membership: Membership, telemetry: CallerTelemetry | None = None) -> None:
        self.on_sent: Callable[[], None] | None = None  # the last event that had to wait is on its way, or given up
        self._bus = bus
        self._subscriptions = Subscriptions(bus)
        self.caller = Caller(bus.node_id, bus, telemetry=telemetry)  # for other calls of this node, too
        self.caller.on_idle = self._maybe_all_sent
        self._early: list[tuple[str, bytes, str, float]] = []  # events of types whose triggers are not known yet
        self._now = 0.0  # seconds, moved by expire()
        for kind, handler in self.caller.handlers.items():
            bus.on(kind, handler)
        bus.on(TriggerSnapshot, self._on_snapshot)
        bus.on(TriggerChange, self._subscriptions.on_change)
        bus.on_reachable = self.caller.on_reachable
        bus.on_congestion = self.caller.on_congestion
        membership.subscribe(self._on_map)
        self._on_map(membership.map, membership.map)

    def watch(self, trigger_type: str) -> None:
        self._subscriptions.watch(trigger_type)

    def triggers(self, trigger_type: str) -> Collection[Trigger]:
        return self._subscriptions.triggers(trigger_type)

    @property
    def all_sent(self) -> bool:
        """Nothing waits to be told where it is to go, or to be sent there."""
        return not self.caller.waiting and not self._early

    def fire(self, trigger_type: str, data: bytes, once: str = "") -> None:
        """Invoke the target of every bound trigger of the type with `data` (JSON).

        `once` names an event that another node may tell of, too: both choose the same gateway, which drops the second.
        """
        if not self._subscriptions.known(trigger_type):
            self._early.append((trigger_type, data, once, self._now))
            return
        for trigger in self._subscriptions.triggers(trigger_type):
            self.caller.call(
                trigger.function,
                data,
                namespace=trigger.namespace,
                metadata=trigger.metadata,
                once=once and f"{once}:{trigger.id}",
                names_target=bool(once),
            )

    def expire(self, now: float) -> None:
        """Give up events that could not be sent in time; call it now and then."""
        self._now = now
        self.caller.expire(now)
        if self._early:
            self._early = [event for event in self._early if now - event[3] <= PATIENCE]
            self._maybe_all_sent()

    def on_reset(self, node: str) -> None:
        """The link to `node` was reset: watches there are gone."""
        self.caller.on_reset(node)
        self._subscriptions.on_reset(node)

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
            self.caller.on_map(new)
            self._subscriptions.on_map(new)

    def _maybe_all_sent(self) -> None:
        if self.all_sent and self.on_sent is not None:
            self.on_sent()
