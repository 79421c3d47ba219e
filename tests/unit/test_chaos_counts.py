import pytest

from iii_cluster.chaos.checks import check, counts
from iii_cluster.chaos.effects import OPEN
from tests.support.chaos_effects import UNKNOWN, Effects


@pytest.fixture
def story() -> Effects:
    return Effects()


def broken(story: Effects) -> list[str]:
    return sorted({violation.check for violation in check(story.history)})


def test_increments_one_after_the_other_are_right(story: Effects) -> None:
    for number in range(1, 11):
        story.count(5 + number, number)
        story.count(5.5 + number, number, read=True)
        story.notice(5.6 + number, number)
    story.total(10)
    assert broken(story) == []


# Sums


def test_an_increment_that_was_lost_is_found(story: Effects) -> None:
    story.count(5)
    story.count(6)
    story.total(1)
    assert broken(story) == [counts.SUM]


def test_an_increment_that_counts_twice_is_found(story: Effects) -> None:
    story.count(5)
    story.total(2)
    assert broken(story) == [counts.SUM]


@pytest.mark.parametrize(("total", "sound"), [(0, False), (1, True), (2, True), (3, True), (4, False)])
def test_an_increment_without_an_answer_may_count_or_not(story: Effects, total: int, sound: bool) -> None:
    story.fault("gateway-kill", 5, 8, "gateway-1")
    story.count(5)
    story.count(6, outcome=UNKNOWN)
    story.count(7, outcome=UNKNOWN)
    story.total(total)
    assert (broken(story) == []) is sound


def test_a_number_nobody_could_read_is_found(story: Effects) -> None:
    story.total(None)
    assert broken(story) == [counts.SUM]


def test_increments_before_redis_lost_its_memory_do_not_count(story: Effects) -> None:
    story.count(5)
    story.count(6)
    story.forget(10)
    story.count(12)
    story.total(1)
    assert broken(story) == []
    story.total(3)
    assert broken(story) == [counts.SUM]


# Order


def test_two_increments_that_were_answered_alike_are_found(story: Effects) -> None:
    story.count(5, 3)
    story.count(6, 3)
    assert broken(story) == [counts.FORWARD]


def test_a_stale_read_is_found(story: Effects) -> None:
    story.count(5, 3)
    story.count(6, 4)
    story.count(7, 3, read=True)
    found = check(story.history)
    assert [violation.check for violation in found] == [counts.FORWARD]
    assert found[0].text == "k was read 3 by call 3, after call 2 had 4"


def test_a_read_that_goes_back_is_found(story: Effects) -> None:
    story.count(5, 3, read=True)
    story.count(6, 2, read=True)
    assert broken(story) == [counts.FORWARD]


def test_calls_at_the_same_time_may_see_each_other_or_not(story: Effects) -> None:
    story.count(5, 4, took=2)
    story.count(5.5, 5, took=0.1)
    story.count(6, 5, read=True)
    story.count(6, 7, took=3)
    story.count(7.1, 5, read=True)
    assert broken(story) == []


def test_a_number_begins_anew_when_redis_lost_its_memory(story: Effects) -> None:
    story.count(5, 7)
    story.forget(6)
    story.count(8, 1)
    assert broken(story) == []
    story.count(9, 1)
    assert broken(story) == [counts.FORWARD]


# Triggers


def test_a_change_told_twice_on_a_connection_is_found(story: Effects) -> None:
    story.notice(5, 1)
    story.notice(6, 1)
    assert broken(story) == [counts.TOLD_ONCE]


def test_changes_told_in_the_wrong_order_are_found(story: Effects) -> None:
    for at, value in ((5, 1), (6, 3), (7, 2)):
        story.count(4 + value / 10, value, took=0.01)
        story.notice(at, value)
    assert broken(story) == [counts.TOLD_ONCE]


def left_out(story: Effects, at: float = 5.5) -> None:
    """The second of three changes, made at that time."""
    story.count(5, 1)
    story.notice(5.1, 1)
    story.count(at, 2)
    story.count(9, 3)
    story.notice(9.1, 3)


def test_a_change_that_was_left_out_is_found(story: Effects) -> None:
    left_out(story)
    found = check(story.history)
    assert [violation.check for violation in found] == [counts.TOLD]
    assert found[0].text == "owner-1 was never told k = 2, but 3 at 9.10 s"


def test_a_change_may_be_left_out_at_a_gateway_that_was_hit(story: Effects) -> None:
    left_out(story)
    story.fault("network-cut", 6, 8, "gateway-1")
    assert broken(story) == []


def test_a_change_made_before_the_trigger_was_known_may_be_left_out(story: Effects) -> None:
    story.history.registrations[0].confirmed = 4.0
    left_out(story, at=5.9)
    assert broken(story) == []
    story.history.registrations[0].confirmed = 3.8
    assert broken(story) == [counts.TOLD]


@pytest.mark.parametrize("kind", ["shard-kill", "leader-freeze", "redis-kill"])
def test_no_other_fault_excuses_a_change_that_was_left_out(story: Effects, kind: str) -> None:
    left_out(story)
    story.fault(kind, 6, 8, "victim")
    assert broken(story) == [counts.TOLD]


def test_a_change_from_before_redis_lost_its_memory_may_be_told_after_it(story: Effects) -> None:
    story.forget(6)
    story.notice(6.5, 7)
    story.notice(7, 1)
    assert broken(story) == []
    story.notice(20, 2)
    story.notice(21, 2)
    assert broken(story) == [counts.TOLD_ONCE]


def test_a_trigger_that_is_told_nothing_any_more_is_found(story: Effects) -> None:
    for number in range(1, 4):
        story.count(5 + number, number)
        story.notice(5.5 + number, number)
    story.count(9, 4)
    story.total(4)
    assert broken(story) == [counts.TOLD]


def test_a_worker_that_came_back_is_judged_anew(story: Effects) -> None:
    gone = story.connect("watcher", "gateway-1", closed=6.0)
    back = story.connect("watcher", "gateway-2", opened=7.0)
    story.notice(5, 1, by=gone)
    story.notice(8, 1, by=back)
    story.notice(9, 2, by=back)
    assert broken(story) == []


def test_the_last_change_may_still_be_told_while_the_run_goes_on(story: Effects) -> None:
    story.count(5, 1)
    story.notice(6, 1)
    story.count(7, 2)
    story.history.ended = OPEN
    assert broken(story) == []
