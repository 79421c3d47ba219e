"""Which functions anybody serves, as a node sees it; and triggers of a type."""

import asyncio

import pytest

from iii_cluster.bus.envelopes import Envelope, Served, Trigger, TriggerChange, TriggerSnapshot, Unwatch, Watch
from iii_cluster.cluster.map import ClusterMap, SlotOwner
from iii_cluster.cluster.slots import SLOTS
from iii_cluster.routing import served
from iii_cluster.routing.keys import parse_served_key, served_key, slot_of_key
from iii_cluster.routing.served import ServedFunctions
from iii_cluster.routing.subscriptions import Subscriptions
from iii_cluster.routing.watched import WatchedType

A, B = "shard-0000000a", "shard-0000000b"
KEY = "served:shop/f"
TRIGGERS = "triggers:queue"


def cluster_map(epoch: int, shard: str) -> ClusterMap:
    return ClusterMap(term=1, epoch=epoch, slots=(SlotOwner(shard, epoch),) * SLOTS)


class Outbox:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Envelope]] = []

    def send(self, node: str, envelope: Envelope) -> None:
        self.sent.append((node, envelope))

    def taken(self) -> list[tuple[str, Envelope]]:
        sent, self.sent = self.sent, []
        return sent


class Lab:
    def __init__(self) -> None:
        self.outbox = Outbox()
        self.served = ServedFunctions(self.outbox)
        self.served.on_map(cluster_map(1, A))
        self.answers: list[bool | None] = []

    def ask(self) -> None:
        self.served.ask("shop", "f", self.answers.append)


# -- functions


def test_a_key_survives_slashes_in_the_namespace() -> None:
    assert parse_served_key(served_key("a/b%", "f/g")) == ("a/b%", "f/g")
    assert slot_of_key(KEY) == slot_of_key("function:default/f")


def test_the_first_question_is_answered_by_a_shard_the_others_at_once() -> None:
    lab = Lab()
    lab.ask()
    assert lab.outbox.taken() == [(A, Watch(1, [KEY]))]
    assert lab.served.get("shop", "f") is None
    lab.served.on_served(A, Served(KEY, False))
    assert lab.answers == [False]
    assert lab.served.get("shop", "f") is False
    lab.served.on_served(A, Served(KEY, True))
    assert lab.served.get("shop", "f") is True
    assert lab.answers == [False]


def test_many_questions_at_a_time_are_one() -> None:
    lab = Lab()
    lab.ask()
    lab.ask()
    assert len(lab.outbox.taken()) == 1
    lab.served.on_served(A, Served(KEY, True))
    assert lab.answers == [True, True]


def test_a_slot_that_moves_is_asked_for_anew_and_its_former_owner_is_not_heard() -> None:
    lab = Lab()
    lab.ask()
    lab.served.on_served(A, Served(KEY, True))
    lab.outbox.taken()
    lab.served.on_map(cluster_map(2, B))
    assert lab.outbox.taken() == [(B, Watch(2, [KEY]))]
    lab.served.on_served(A, Served(KEY, False))
    assert lab.served.get("shop", "f") is True
    lab.served.on_served(B, Served(KEY, False))
    assert lab.served.get("shop", "f") is False


def test_a_shard_whose_link_was_reset_is_asked_again() -> None:
    lab = Lab()
    lab.ask()
    lab.outbox.taken()
    lab.served.on_reset(B)
    assert lab.outbox.taken() == []
    lab.served.on_reset(A)
    assert lab.outbox.taken() == [(A, Watch(1, [KEY]))]


def test_what_is_asked_while_nobody_owns_the_slot_is_asked_with_the_next_map() -> None:
    outbox, answers = Outbox(), list[bool | None]()
    functions = ServedFunctions(outbox)
    functions.ask("shop", "f", answers.append)
    assert outbox.taken() == []
    functions.on_map(cluster_map(1, A))
    assert outbox.taken() == [(A, Watch(1, [KEY]))]


def test_a_question_no_shard_answers_is_given_up() -> None:
    lab = Lab()
    lab.served.expire(100.0, 10.0)
    lab.ask()
    lab.served.expire(110.0, 10.0)
    assert lab.answers == []
    lab.served.expire(110.1, 10.0)
    assert lab.answers == [None]
    lab.outbox.taken()
    lab.served.on_served(A, Served(KEY, True))
    assert lab.outbox.taken() == [(A, Unwatch([KEY]))]


def test_a_node_that_goes_on_under_a_new_id_asks_again_and_knows_what_it_knew() -> None:
    lab = Lab()
    lab.ask()
    lab.served.on_served(A, Served(KEY, True))
    lab.outbox.taken()
    lab.served.reincarnate()
    assert lab.served.get("shop", "f") is True
    lab.served.on_map(cluster_map(1, A))
    assert lab.outbox.taken() == [(A, Watch(1, [KEY]))]


def test_only_so_many_functions_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "MAX_WATCHED", 2)
    lab = Lab()
    for function in ("f", "g", "h"):
        lab.served.ask("shop", function, lab.answers.append)
    assert len(lab.served) == 2
    assert lab.answers == [None]
    assert (A, Unwatch([KEY])) in lab.outbox.taken()


# -- triggers


def trigger(id: str) -> Trigger:
    return Trigger(id, "queue", "f")


def subscriptions() -> Subscriptions:
    known = Subscriptions(Outbox())
    known.on_map(cluster_map(1, A))
    return known


def test_every_change_of_a_watched_type_is_told() -> None:
    known = subscriptions()
    seen: list[list[str]] = []
    watched = known.watch("queue", lambda: seen.append(sorted(trigger.id for trigger in watched.triggers())))
    known.on_snapshot(A, TriggerSnapshot(TRIGGERS, 5, []))
    known.on_change(A, TriggerChange(TRIGGERS, 6, [trigger("a"), trigger("b")]))
    known.on_change(A, TriggerChange(TRIGGERS, 7, [], ["a"]))
    known.on_change(A, TriggerChange(TRIGGERS, 7, [], ["b"]))
    assert seen == [[], ["a", "b"], ["b"]]


def test_triggers_are_in_the_order_they_were_bound_last() -> None:
    known = subscriptions()
    watched = known.watch("queue")
    known.on_snapshot(A, TriggerSnapshot(TRIGGERS, 5, [trigger("a"), trigger("b")], [1, 2]))
    known.on_change(A, TriggerChange(TRIGGERS, 6, [Trigger("a", "queue", "g")], stamps=[3]))
    assert [trigger.id for trigger in watched.triggers()] == ["b", "a"]


def test_a_snapshot_that_says_nothing_new_is_not_told() -> None:
    known = subscriptions()
    told: list[int] = []
    known.watch("queue", lambda: told.append(1))
    known.on_snapshot(A, TriggerSnapshot(TRIGGERS, 5, [trigger("a")]))
    known.on_map(cluster_map(2, B))
    known.on_snapshot(B, TriggerSnapshot(TRIGGERS, 1, [trigger("a")]))
    assert told == [1]
    known.on_reset(B)
    known.on_snapshot(B, TriggerSnapshot(TRIGGERS, 2, []))
    assert told == [1, 1]


def test_a_failing_watcher_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    known = subscriptions()
    told: list[int] = []

    def fail() -> None:
        raise LookupError

    known.watch("queue", fail)
    known.watch("queue", lambda: told.append(1))
    known.on_snapshot(A, TriggerSnapshot(TRIGGERS, 5, []))
    assert told == [1]
    assert "trigger_watcher_failed type=queue" in caplog.text


async def test_a_type_becomes_known_with_the_first_answer() -> None:
    known = subscriptions()
    first = WatchedType(known, "queue")
    waiting = asyncio.ensure_future(first.until_known())
    await asyncio.sleep(0)
    assert not first.known
    assert not waiting.done()
    known.on_snapshot(A, TriggerSnapshot(TRIGGERS, 5, [trigger("a")]))
    await waiting
    second = WatchedType(known, "queue")
    await second.until_known()
    assert [t.id for t in second.all()] == [t.id for t in first.all()] == ["a"]
    assert first.known
