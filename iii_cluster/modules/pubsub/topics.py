"""Subscriptions by topic. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.conditions import condition_of


class Subscription(NamedTuple):
    trigger: Trigger
    conditional: bool


class _Config(Struct):
    topic: str = ""


_decode = msgspec.json.Decoder(_Config).decode


def topic_of(trigger: Trigger) -> str:
    """The topic that a trigger subscribes, "" for none."""
    try:
        return _decode(trigger.config).topic
    except msgspec.MsgspecError:
        return ""


class Topics:
    """Knows the subscriptions of a topic without looking at those of others."""

    def __init__(self) -> None:
        self._triggers: dict[str, tuple[Trigger, str]] = {}  # by id, with its topic
        self._topics: dict[str, dict[str, Subscription]] = {}

    def __len__(self) -> int:
        return len(self._topics)

    @property
    def subscriptions(self) -> int:
        return sum(len(subscriptions) for subscriptions in self._topics.values())

    def of(self, topic: str) -> tuple[Subscription, ...]:
        return tuple(self._topics.get(topic, {}).values())

    def update(self, triggers: Iterable[Trigger]) -> None:
        """These are all there are now. What is the same object as before costs one look."""
        current: set[str] = set()
        for trigger in triggers:
            current.add(trigger.id)
            known = self._triggers.get(trigger.id)
            if known is None or known[0] is not trigger:
                self._drop(trigger.id)
                self._put(trigger)
        for id in [id for id in self._triggers if id not in current]:
            self._drop(id)

    def _put(self, trigger: Trigger) -> None:
        topic = topic_of(trigger)
        self._triggers[trigger.id] = trigger, topic
        if topic:
            subscription = Subscription(trigger, bool(condition_of(trigger)))
            self._topics.setdefault(topic, {})[trigger.id] = subscription

    def _drop(self, id: str) -> None:
        _, topic = self._triggers.pop(id, (None, ""))
        if topic:
            subscriptions = self._topics[topic]
            del subscriptions[id]
            if not subscriptions:
                del self._topics[topic]
