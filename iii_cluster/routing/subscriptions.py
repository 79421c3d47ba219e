"""Triggers of the types this node fires, watched at the shard that owns the type. Pure."""

import logging
from collections.abc import Callable, Collection, Iterable
from itertools import repeat

from iii_cluster.bus.envelopes import Trigger, TriggerChange, TriggerSnapshot, Watch
from iii_cluster.bus.outbox import Outbox
from iii_cluster.cluster.map import ClusterMap

from .keys import TRIGGERS, triggers_key

log = logging.getLogger(__name__)

Changed = Callable[[], None]


class Subscription:
    """The bound triggers of one type."""

    __slots__ = ("_last", "_sorted", "_triggers", "asked", "changed", "known", "type", "version")

    def __init__(self, trigger_type: str) -> None:
        self.type = trigger_type
        self.asked = ""
        self.known = False  # a snapshot has arrived
        self.version = 0
        self.changed: list[Changed] = []
        self._triggers: dict[str, tuple[int, Trigger]] = {}  # by id, with the stamp
        self._last = (0, "")  # no trigger comes after this stamp and id
        self._sorted = True

    def triggers(self) -> list[Trigger]:
        """The one that was registered last comes last, in the same order on every node."""
        if not self._sorted:
            self._triggers = dict(sorted(self._triggers.items(), key=lambda item: (item[1][0], item[0])))
            self._sorted = True
            self._last = next(((stamp, id) for id, (stamp, _) in reversed(self._triggers.items())), (0, ""))
        return [trigger for _, trigger in self._triggers.values()]

    def put(self, trigger: Trigger, stamp: int) -> None:
        self._triggers.pop(trigger.id, None)
        self._triggers[trigger.id] = (stamp, trigger)
        order = (stamp, trigger.id)
        if order < self._last:
            self._sorted = False
        else:
            self._last = order

    def drop(self, trigger_id: str) -> None:
        self._triggers.pop(trigger_id, None)

    def replace(self, triggers: list[Trigger], stamps: Iterable[int]) -> bool:
        """All of them are others; False if they are just the same."""
        before = self._triggers
        self._triggers, self._last, self._sorted = {}, (0, ""), True
        for trigger, stamp in zip(triggers, stamps, strict=False):
            self.put(trigger, stamp)
        return before != self._triggers

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
        return subscription.triggers() if subscription else ()

    def on_snapshot(self, shard: str, said: TriggerSnapshot) -> None:
        subscription = self._of(said.key, shard)
        if subscription is not None:
            news = subscription.replace(said.triggers, _stamps(said.stamps)) or not subscription.known
            subscription.known = True
            subscription.version = said.version
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
            subscription.drop(trigger_id)
        for trigger, stamp in zip(said.put, _stamps(said.stamps), strict=False):
            subscription.put(trigger, stamp)
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


def _stamps(stamps: list[int]) -> Iterable[int]:
    """Shards of former versions send none."""
    return stamps or repeat(0)
