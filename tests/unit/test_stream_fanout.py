"""Snapshots and events in one order, for every client."""

import pytest

from gateway.streams.fanout import Event, Fanout, Key, Read, Subscription

KEY = ("chat", "room")


class Outlet:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.congested = False

    def send(self, frame: bytes) -> bool:
        if not self.congested:
            self.frames.append(frame)
        return not self.congested


class Effects:
    def __init__(self) -> None:
        self.listening: list[Key] = []
        self.reads: list[Read] = []

    def listen(self, key: Key) -> None:
        self.listening.append(key)

    def unlisten(self, key: Key) -> None:
        self.listening.remove(key)

    def read(self, read: Read) -> None:
        self.reads.append(read)


class Setting:
    def __init__(self, held_bytes: int = 100) -> None:
        self.effects = Effects()
        self.fanout = Fanout(self.effects, held_bytes)

    def join(self, item: str | None = None, outlet: Outlet | None = None) -> tuple[Subscription, Outlet]:
        outlet = outlet or Outlet()
        subscription = Subscription("s", *KEY, item, outlet)
        self.fanout.join(subscription)
        return subscription, outlet

    def change(self, timestamp: int, item: str = "m1", frame: bytes | None = None) -> None:
        self.fanout.event(KEY, Event(timestamp, item, False, b"%d" % timestamp if frame is None else frame))

    def custom(self, timestamp: int, item: str | None = None) -> None:
        self.fanout.event(KEY, Event(timestamp, item, True, b"c%d" % timestamp))

    def answer(self, timestamp: int) -> None:
        self.fanout.snapshot(self.effects.reads.pop(0), timestamp, b"sync%d" % timestamp)


@pytest.fixture
def setting() -> Setting:
    return Setting()


@pytest.fixture
def live(setting: Setting) -> tuple[Subscription, Outlet]:
    """A subscription of the group that has begun."""
    joined = setting.join()
    setting.fanout.heard(KEY)
    setting.answer(10)
    return joined


def test_nothing_is_read_before_the_group_is_heard(setting: Setting) -> None:
    _, outlet = setting.join()
    assert setting.effects.listening == [KEY]
    assert not setting.effects.reads
    setting.fanout.heard(KEY)
    setting.answer(5)
    assert outlet.frames == [b"sync5"]


def test_changes_that_the_snapshot_contains_are_left_out(setting: Setting) -> None:
    _, outlet = setting.join()
    setting.fanout.heard(KEY)
    setting.change(4)
    setting.change(6)
    setting.answer(5)
    setting.change(7)
    assert outlet.frames == [b"sync5", b"6", b"7"]


def test_what_was_sent_before_the_snapshot_comes_before_it(setting: Setting) -> None:
    _, outlet = setting.join()
    setting.fanout.heard(KEY)
    setting.custom(3)
    setting.change(4)
    setting.custom(6)
    setting.answer(5)
    assert outlet.frames == [b"c3", b"sync5", b"c6"]


def test_a_change_that_its_snapshot_has_overtaken_is_left_out(setting: Setting) -> None:
    _, outlet = setting.join()
    setting.fanout.heard(KEY)
    setting.answer(5)
    setting.change(4)
    setting.change(4, "m1", b"")
    setting.custom(4)
    setting.change(6)
    assert outlet.frames == [b"sync5", b"c4", b"6"]
    assert not setting.effects.reads


def test_an_item_gets_what_is_about_it_and_the_group_everything(setting: Setting) -> None:
    _, group = setting.join()
    _, item = setting.join("m1")
    setting.fanout.heard(KEY)
    setting.answer(1)
    setting.answer(2)
    setting.change(3, "m1")
    setting.change(4, "m2")
    setting.custom(5)
    setting.custom(6, "m1")
    assert group.frames == [b"sync1", b"3", b"4", b"c5", b"c6"]
    assert item.frames == [b"sync2", b"3", b"c6"]


def test_all_who_wait_for_the_same_share_one_snapshot(setting: Setting) -> None:
    first = setting.join()[1]
    setting.fanout.heard(KEY)
    setting.change(6)
    second = setting.join()[1]
    assert len(setting.effects.reads) == 1
    setting.answer(5)
    assert first.frames == second.frames == [b"sync5", b"6"]


def test_a_live_subscription_is_not_held_up_by_somebody_elses_snapshot(
    setting: Setting, live: tuple[Subscription, Outlet]
) -> None:
    setting.join()
    setting.change(11)
    assert live[1].frames == [b"sync10", b"11"]


def test_after_the_channel_was_lost_everybody_begins_again(setting: Setting, live: tuple[Subscription, Outlet]) -> None:
    setting.fanout.deaf()
    setting.change(11)
    setting.fanout.heard(KEY)
    assert setting.effects.reads[0].floor == 10
    setting.answer(12)
    assert live[1].frames == [b"sync10", b"sync12"]


def test_a_snapshot_that_was_asked_for_before_the_loss_counts_for_nothing(setting: Setting) -> None:
    _, outlet = setting.join()
    setting.fanout.heard(KEY)
    old = setting.effects.reads.pop()
    setting.fanout.deaf()
    assert not setting.fanout.wants(old)
    setting.fanout.snapshot(old, 5, b"old")
    setting.fanout.heard(KEY)
    setting.answer(6)
    assert outlet.frames == [b"sync6"]


def test_a_client_that_does_not_keep_up_gets_a_snapshot_once_it_does(
    setting: Setting, live: tuple[Subscription, Outlet]
) -> None:
    subscription, outlet = live
    outlet.congested = True
    setting.change(11)
    setting.change(12)
    outlet.congested = False
    setting.change(13)
    assert outlet.frames == [b"sync10"]
    setting.fanout.keeps_up([subscription])
    setting.answer(14)
    setting.change(15)
    assert outlet.frames == [b"sync10", b"sync14", b"15"]


def test_a_client_that_is_congested_by_its_snapshot_gets_another_one(setting: Setting) -> None:
    subscription, outlet = setting.join()
    outlet.congested = True
    setting.fanout.heard(KEY)
    setting.answer(5)
    outlet.congested = False
    setting.fanout.keeps_up([subscription])
    setting.answer(6)
    assert outlet.frames == [b"sync6"]


def test_a_message_without_its_data_makes_a_snapshot_be_read(
    setting: Setting, live: tuple[Subscription, Outlet]
) -> None:
    other = setting.join("m2")[1]
    setting.answer(11)
    setting.change(12, "m1", b"")
    setting.answer(13)
    setting.change(14, "m1")
    assert live[1].frames == [b"sync10", b"sync13", b"14"]
    assert other.frames == [b"sync11"]


def test_a_message_without_its_data_amid_a_snapshot_makes_another_one_be_read(setting: Setting) -> None:
    _, outlet = setting.join()
    setting.fanout.heard(KEY)
    setting.change(6, "m1", b"")
    setting.answer(5)
    setting.answer(7)
    assert outlet.frames == [b"sync5", b"sync7"]


def test_without_a_snapshot_events_come_all_the_same(setting: Setting) -> None:
    _, outlet = setting.join()
    setting.fanout.heard(KEY)
    setting.change(3)
    setting.fanout.unreadable(setting.effects.reads.pop())
    setting.change(4)
    assert outlet.frames == [b"3", b"4"]


def test_too_many_events_amid_a_snapshot_make_it_be_read_again() -> None:
    setting = Setting(held_bytes=3)
    _, outlet = setting.join()
    setting.fanout.heard(KEY)
    for timestamp in (11, 12, 13):
        setting.change(timestamp)
    setting.answer(10)
    assert outlet.frames == []
    assert setting.effects.reads[0].floor == 12
    setting.answer(14)
    setting.change(15)
    assert outlet.frames == [b"sync14", b"15"]


def test_leaving_forgets_the_group_with_its_last_subscription(
    setting: Setting, live: tuple[Subscription, Outlet]
) -> None:
    other, _ = setting.join("m1")
    setting.fanout.leave(live[0])
    assert setting.effects.listening == [KEY]
    setting.fanout.leave(other)
    setting.fanout.leave(other)
    assert (len(setting.fanout), setting.fanout.subscriptions, setting.effects.listening) == (0, 0, [])
    setting.answer(20)
    setting.change(21)
    assert live[1].frames == [b"sync10"]
