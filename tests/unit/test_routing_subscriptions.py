"""The order of triggers as every node sees it, whatever way it learned of them."""

from itertools import permutations

from iii_cluster.bus.envelopes import Envelope, Trigger, TriggerChange, TriggerSnapshot
from iii_cluster.routing.subscriptions import Subscriptions
from tests.support.gateway import cluster_map

SHARD = "shard-00000001"
KEY = "triggers:http"
FIRST, SECOND, THIRD = (Trigger(id, "http", "f") for id in ("b", "a", "c"))
STAMPS = {FIRST: 5, SECOND: 7, THIRD: 7}


class Silence:
    def send(self, node: str, envelope: Envelope) -> None:
        pass


class Node:
    def __init__(self) -> None:
        self.subscriptions = Subscriptions(Silence())
        self.subscriptions.on_map(cluster_map("gateway-aaaaaaaa", SHARD))
        self.told = 0
        self.subscriptions.watch("http", self._changed)

    def _changed(self) -> None:
        self.told += 1

    def snapshot(self, *triggers: Trigger, version: int = 1) -> None:
        stamps = [STAMPS[trigger] for trigger in triggers]
        self.subscriptions.on_snapshot(SHARD, TriggerSnapshot(KEY, version, list(triggers), stamps))

    def change(self, version: int, *put: Trigger, dropped: tuple[str, ...] = (), stamp: int = 0) -> None:
        stamps = [stamp or STAMPS[trigger] for trigger in put]
        self.subscriptions.on_change(SHARD, TriggerChange(KEY, version, list(put), list(dropped), stamps))

    def seen(self) -> list[Trigger]:
        return list(self.subscriptions.triggers("http"))


def test_the_latest_registration_is_last_in_whatever_order_they_are_told() -> None:
    for order in permutations((FIRST, SECOND, THIRD)):
        one, other = Node(), Node()
        one.snapshot(*order)
        other.snapshot()
        for version, trigger in enumerate(order, 2):
            other.change(version, trigger)
        assert one.seen() == other.seen() == [FIRST, SECOND, THIRD]


def test_what_is_registered_again_becomes_the_last_and_what_was_registered_before_does_not() -> None:
    node = Node()
    node.snapshot(FIRST, SECOND)
    node.change(2, FIRST, stamp=9)
    assert node.seen() == [SECOND, FIRST]
    node.change(3, THIRD)
    assert node.seen() == [SECOND, THIRD, FIRST]
    node.change(4, dropped=("b",))
    node.change(5, FIRST)
    assert node.seen() == [FIRST, SECOND, THIRD]


def test_a_snapshot_with_another_order_is_news_and_one_with_the_same_is_not() -> None:
    node = Node()
    node.snapshot(FIRST, SECOND)
    node.snapshot(SECOND, FIRST, version=9)
    assert node.told == 1
    again = TriggerSnapshot(KEY, 10, [FIRST, SECOND], [8, 7])
    node.subscriptions.on_snapshot(SHARD, again)
    assert node.told == 2
    assert node.seen() == [SECOND, FIRST]


def test_triggers_without_stamps_are_taken_all_the_same() -> None:
    node = Node()
    node.subscriptions.on_snapshot(SHARD, TriggerSnapshot(KEY, 1, [FIRST, SECOND]))
    assert sorted(trigger.id for trigger in node.seen()) == ["a", "b"]
