import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.telemetry.otlp.lane import (
    ATTEMPTS,
    BATCH_BYTES,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MAX_BYTES,
    MAX_ITEMS,
    Lane,
)

INTERVAL = 5.0


@pytest.fixture
def lane() -> Lane[int]:
    return Lane(3, INTERVAL)


def put(lane: Lane[int], *items: int, size: int = 1) -> None:
    for item in items:
        lane.put(item, size)


def test_a_full_batch_is_due_at_once_and_a_few_items_after_the_interval(lane: Lane[int]) -> None:
    lane.arrived(0)
    put(lane, 1, 2)
    assert not lane.due(INTERVAL - 0.1)
    assert lane.due(INTERVAL)
    put(lane, 3)
    assert lane.due(0)
    put(lane, 4)
    assert lane.take() == [1, 2, 3]
    lane.arrived(10)
    assert (lane.sent, lane.empty, lane.due(10 + INTERVAL)) == (3, False, True)


def test_a_batch_that_failed_comes_again_after_pauses_that_grow_and_is_given_up_in_the_end(lane: Lane[int]) -> None:
    put(lane, 1, 2, 3, 4)
    now = 0.0
    for attempt in range(ATTEMPTS):
        assert lane.due(now)
        assert lane.take() == [1, 2, 3]
        lane.failed(now, 0.5)
        pause = FIRST_PAUSE * 2**attempt
        assert not lane.due(now + pause - 0.01)
        now += pause + 0.01
    assert lane.dropped == 3
    assert lane.take() == [4]
    lane.arrived(now)
    assert (lane.sent, lane.failing, lane.empty) == (1, False, True)


def test_pauses_have_a_limit(lane: Lane[int]) -> None:
    for n in range(20):
        put(lane, n)
        lane.take()
        lane.failed(0, 0.5)
    put(lane, 1)
    assert not lane.due(LONGEST_PAUSE - 0.01)
    assert lane.due(LONGEST_PAUSE + 0.01)


def test_it_never_grows_beyond_its_limits(lane: Lane[int]) -> None:
    put(lane, *range(MAX_ITEMS + 10))
    assert (lane.dropped, lane.fill, lane.room) == (10, 1.0, 0)
    lane.take()
    assert lane.room == 3
    large = Lane[int](3, INTERVAL)
    put(large, *range(100), size=MAX_BYTES // 8)
    assert large.dropped == 92
    large.take()
    assert large.fill < 1


def test_a_batch_of_large_items_is_smaller() -> None:
    lane = Lane[int](512, INTERVAL)
    put(lane, *range(10), size=BATCH_BYTES // 2)
    assert len(lane.take()) == 2


@given(st.lists(st.sampled_from(["put", "take", "fail", "arrive"])))
def test_every_item_is_sent_dropped_or_there(steps: list[str]) -> None:
    lane = Lane[int](2, INTERVAL)
    count = 0
    for step in steps:
        if step == "put":
            lane.put(count, MAX_BYTES // 4)
            count += 1
        elif lane.empty:
            continue
        elif (items := lane.take()) and step == "fail":
            lane.failed(0, 0)
        elif items and step == "arrive":
            lane.arrived(0)
    while not lane.empty:
        lane.take()
        lane.arrived(0)
    assert lane.sent + lane.dropped == count
    assert lane.fill == 0
