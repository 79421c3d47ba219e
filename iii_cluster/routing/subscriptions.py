"""Triggers of the types this node fires, watched at the shard that owns the type. Pure."""

import logging
from collections.abc import Callable, Collection

from iii_cluster.bus.envelopes import Trigger, TriggerChange, TriggerSnapshot, Watch
from iii_cluster.bus.outbox import Outbox
from iii_cluster.cluster.map import ClusterMap

from .keys import TRIGGERS, triggers_key

log = logging.getLogger(__name__)

Changed = Callable[[], None]


class Subscription:
    """The bound triggers of one type."""

    __slots__ = ("asked", "changed", "known", "triggers", "type", "version")

    def __init__(self, trigger_type: str) -> None:
        self.type = trigger_type
        self.asked = ""
        self.known = False  # a snapshot has arrived
        self.version = 0
        self.triggers: dict[str, Trigger] = {}  # by id, the last bound one last
        self.changed: list[Changed] = []

    def tell(self) -> None:
        for changed in self.changed:
            try:
                changed()
            except Exception:
                log.exception("action=trigger_watcher_failed type=%s", self.type)


class Subscriptions:
    """Watched trigger types of a node."""

    def __init__(self, outbox: Outbox) -> None:
        self.map = ClusterMap()
        self._outbox = outbox
        self._types: dict[str, Subscription] = {}

    def watch(self, trigger_type: str, changed: Changed | None = None) -> Subscription:
        """`changed()` when the type becomes known and after every change from then on."""
        subscription = self._types.get(trigger_type)
        if subscription is None:
            subscription = self._types[trigger_type] = Subscription(trigger_type)
            self._ask(subscription)
        if changed is not None:
            subscription.changed.append(changed)
        return subscription

    def known(self, trigger_type: str) -> bool:
        """Whether a shard has ever said which triggers there are."""
        subscription = self._types.get(trigger_type)
        return subscription is not None and subscription.known

    def triggers(self, trigger_type: str) -> Collection[Trigger]:
        subscription = self._types.get(trigger_type)
        return subscription.triggers.values() if subscription else ()

    def on_snapshot(self, shard: str, said: TriggerSnapshot) -> None:
        subscription = self._of(said.key, shard)
        if subscription is not None:
            triggers = {trigger.id: trigger for trigger in said.triggers}
            news = not subscription.known or triggers != subscription.triggers
            subscription.known = True
            subscription.version = said.version
            subscription.triggers = triggers
            if news:
                subscription.tell()

    def on_change(self, shard: str, said: TriggerChange) -> None:
        subscription = self._of(said.key, shard)
        if subscription is None or not subscription.known:
            return
        if said.version <= subscription.version:
            return
        subscription.version = said.version
        for trigger_id in said.dropped:
            subscription.triggers.pop(trigger_id, None)
        for trigger in said.put:
            subscription.triggers.pop(trigger.id, None)
            subscription.triggers[trigger.id] = trigger
        subscription.tell()

    def on_map(self, new: ClusterMap) -> None:
        old, self.map = self.map, new
        for subscription in self._types.values():
            if old.slot(subscription.type) != new.slot(subscription.type) or not subscription.asked:
                self._ask(subscription)

    def on_reset(self, shard: str) -> None:
        for subscription in self._types.values():
            if subscription.asked == shard:
                self._ask(subscription)

    def reincarnate(self) -> None:
        """This node goes on under a new id: it asks again as soon as it has a map. What is known stays."""
        self.map = ClusterMap()
        for subscription in self._types.values():
            subscription.asked = ""

    def _ask(self, subscription: Subscription) -> None:
        subscription.asked = self.map.owner(subscription.type)
        if subscription.asked:
            self._outbox.send(subscription.asked, Watch(self.map.epoch, [triggers_key(subscription.type)]))

    def _of(self, key: str, shard: str) -> Subscription | None:
        subscription = self._types.get(key.removeprefix(TRIGGERS))
        return subscription if subscription is not None and subscription.asked == shard else None
