import random

import pytest

from iii_cluster.chaos.checks import check, messages, streams
from iii_cluster.chaos.load.viewer import Message, Viewer
from iii_cluster.chaos.recorder import Recorder
from tests.support.chaos_effects import UNKNOWN, Effects


@pytest.fixture
def story() -> Effects:
    return Effects()


def broken(story: Effects) -> list[str]:
    return sorted({violation.check for violation in check(story.history)})


def test_changes_shown_one_after_the_other_are_right(story: Effects) -> None:
    for v in range(1, 11):
        story.change(5 + v, v)
        story.show(5.1 + v, v)
    story.view({"i": 10}, {"i": 10})
    assert broken(story) == []


# The end


@pytest.mark.parametrize(("has", "stored"), [({"i": 1}, {"i": 2}), ({}, {"i": 1}), ({"i": 1}, {})])
def test_a_client_that_sees_something_else_in_the_end_is_found(
    story: Effects, has: dict[str, int], stored: dict[str, int]
) -> None:
    story.change(5, 1)
    story.view(has, stored)
    assert broken(story) == [streams.STORED]


def test_nobody_is_told_of_what_redis_forgot(story: Effects) -> None:
    story.change(5, 1)
    story.forget(6)
    story.view({"i": 1}, {})
    assert broken(story) == []


def test_what_was_written_after_redis_forgot_has_to_be_seen(story: Effects) -> None:
    story.change(5, 1)
    story.forget(6)
    story.change(8, 2)
    story.view({"i": 1}, {"i": 2})
    assert broken(story) == [streams.STORED]


# On the way


def test_a_timestamp_that_does_not_grow_is_found(story: Effects) -> None:
    story.change(5, 1)
    story.change(6, 2)
    story.show(5.1, 1, timestamp=9000)
    story.show(6.1, 2, timestamp=9000)
    assert broken(story) == [streams.STAMPS]


def test_timestamps_grow_across_connections(story: Effects) -> None:
    story.change(5, 1)
    story.change(8, 2)
    story.show(5.1, 1, timestamp=9000)
    story.show(7.1, 1, "sync", timestamp=1, gateway="gateway-2", opened=7.0)
    story.show(8.1, 2, timestamp=8999, gateway="gateway-2", opened=7.0)
    assert broken(story) == [streams.STAMPS]


def test_changes_shown_in_the_wrong_order_are_found(story: Effects) -> None:
    for v in (1, 2):
        story.change(4 + v, v)
    story.show(7, 2)
    story.show(8, 1)
    assert broken(story) == [streams.ORDER]


def test_a_change_that_was_left_out_is_found(story: Effects) -> None:
    for v in (1, 2, 3):
        story.change(4 + v, v)
    story.show(5.1, 1)
    story.show(7.1, 3)
    assert broken(story) == [streams.ALL]


def test_a_sync_makes_up_for_what_was_left_out(story: Effects) -> None:
    for v in (1, 2, 3):
        story.change(4 + v, v)
    story.show(5.1, 1)
    story.show(6.5, 2, "sync")
    story.show(7.1, 3)
    assert broken(story) == []


def test_a_sync_without_the_item_makes_up_for_it_too(story: Effects) -> None:
    for v in (1, 2, 3):
        story.change(4 + v, v)
    story.show(5.1, 1)
    story.show(6.5, None, "sync")
    story.show(7.1, 3)
    assert broken(story) == []


def test_changes_may_be_left_out_between_two_connections_and_at_a_gateway_that_was_hit(story: Effects) -> None:
    for v in range(1, 8):
        story.change(4 + v, v)
    story.show(5.1, 1)
    story.show(7.1, 3, opened=7.0)
    assert broken(story) == []
    story.show(9.1, 5, opened=7.0)
    story.fault("gateway-pause", 8, 8.5, "gateway-1")
    assert broken(story) == []


def test_a_change_without_an_answer_may_come_late_or_never(story: Effects) -> None:
    story.fault("gateway-kill", 5, 8, "gateway-1")
    story.change(5, 1)
    story.change(6, 2, UNKNOWN)
    story.change(7, 3)
    story.show(5.1, 1)
    story.show(7.1, 3)
    story.show(7.2, 2)
    assert broken(story) == []


# The client


def message(event: str, v: int, timestamp: int, item: str = "a/1") -> Message:
    return {
        "timestamp": timestamp,
        "groupId": item.partition("/")[0],
        "id": item,
        "event": {"type": event, "data": {"id": item, "v": v}},
    }


def sync(timestamp: int, *items: tuple[str, int], group: str = "a") -> Message:
    data = [{"id": item, "v": v} for item, v in items]
    return {"timestamp": timestamp, "groupId": group, "id": None, "event": {"type": "sync", "data": data}}


@pytest.fixture
def viewer() -> Viewer:
    recorder = Recorder(2.0)
    made = Viewer("viewer", [], recorder, random.Random(1), stream="s", groups=["a", "b"])
    made._viewing = recorder.viewing("viewer", "gateway-1")
    return made


def test_a_client_keeps_what_it_is_shown(viewer: Viewer) -> None:
    for one in (sync(1, ("a/1", 1), ("a/2", 5)), sync(1, ("b/1", 7), group="b"), message("update", 2, 2)):
        viewer.received(one)
    assert viewer.items == {"a/1": 2, "a/2": 5, "b/1": 7}
    viewer.received(message("delete", 5, 3, "a/2"))
    viewer.received(message("create", 1, 4, "a/3"))
    assert viewer.items == {"a/1": 2, "a/3": 1, "b/1": 7}


def test_a_client_drops_what_is_not_newer_as_the_published_ones_do(viewer: Viewer) -> None:
    viewer.received(message("update", 2, 10))
    viewer.received(message("update", 3, 10))
    viewer.received(sync(9, ("a/1", 1)))
    assert viewer.items == {"a/1": 2}


def test_a_client_forgets_what_is_not_in_a_sync(viewer: Viewer) -> None:
    viewer.received(sync(1, ("a/1", 1), ("a/2", 5)))
    viewer.received(sync(2, ("a/2", 6)))
    assert viewer.items == {"a/2": 6}
    assert [(one.item, one.v) for one in viewer._recorder.history.shown[2:]] == [("a/1", None), ("a/2", 6)]


# Messages


def test_messages_may_be_lost_and_reach_every_subscriber(story: Effects) -> None:
    story.publish(1, 5)
    story.publish(2, 6)
    story.hear(1, 5.1)
    story.hear(1, 5.1, by=story.second)
    assert broken(story) == []


def test_a_message_that_reaches_a_subscriber_twice_is_found(story: Effects) -> None:
    story.publish(1, 5)
    story.hear(1, 5.1)
    story.hear(1, 5.2)
    assert broken(story) == [messages.ONCE]


def test_a_message_that_reaches_a_subscriber_again_on_its_next_connection_is_found(story: Effects) -> None:
    story.publish(1, 5)
    story.hear(1, 5.1, by=story.connect("listener", "gateway-1", closed=6.0))
    story.hear(1, 7.1, by=story.connect("listener", "gateway-2", opened=7.0))
    assert broken(story) == [messages.ONCE]
