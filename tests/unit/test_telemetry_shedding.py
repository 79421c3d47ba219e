from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.telemetry.records import Span
from iii_cluster.telemetry.shedding import Shedder
from tests.support.telemetry import span, trace_id

ROOM = 10**9
TICK = 0.1  # s


def traces(count: int, size: int, start: int = 0) -> list[Span]:
    return [span(n, trace_id(start + trace)) for trace in range(count) for n in range(size)]


def test_within_the_budget_all_is_kept() -> None:
    shedder = Shedder(1000)
    for tick in range(100):
        assert len(shedder.shed(traces(10, 10, tick * 10), tick * TICK, ROOM)) == 100
    assert shedder.part == 1.0


def test_a_burst_of_a_second_is_kept() -> None:
    shedder = Shedder(1000)
    assert len(shedder.shed(traces(100, 10), 0.0, ROOM)) == 1000
    assert len(shedder.shed(traces(100, 10), 1.0, ROOM)) == 1000


def test_of_ten_times_the_budget_most_of_it_is_kept_and_never_more() -> None:
    shedder, kept = Shedder(1000), 0
    for tick in range(100):
        kept += len(shedder.shed(traces(100, 10, tick * 100), tick * TICK, ROOM))
        assert kept <= 1000 + 1000 * tick * TICK
    assert kept > 0.7 * 1000 * 100 * TICK


def test_traces_are_kept_as_a_whole_though_their_spans_come_one_after_the_other() -> None:
    shedder = Shedder(1000)
    kept: dict[str, int] = {}
    begun = {trace_id(tick + 1000 * other) for tick in range(20, 180) for other in range(100)}  # when it is in balance
    for tick in range(200):  # every trace has ten spans, one per tick
        spans = [span(n, trace_id(tick - n + 1000 * other)) for n in range(10) for other in range(100)]
        for each in shedder.shed(spans, tick * TICK, ROOM):
            if each.trace_id in begun:
                kept[each.trace_id] = kept.get(each.trace_id, 0) + 1
    assert sum(kept.values()) > 0.7 * 1000 * 160 * TICK
    assert sum(count for count in kept.values() if count == 10) > 0.8 * sum(kept.values())


def test_two_processes_under_load_keep_the_same_traces() -> None:
    first, second = Shedder(1000), Shedder(1000)
    for tick in range(20):
        spans = traces(100, 10, tick * 100)
        kept = {each.trace_id for each in first.shed(spans, tick * TICK, ROOM)}
        assert kept == {each.trace_id for each in second.shed(spans, tick * TICK, ROOM)}


def test_one_trace_of_any_size_does_not_exceed_the_budget() -> None:
    assert len(Shedder(100).shed(traces(1, 1000), 0.0, ROOM)) <= 100


def test_it_recovers_from_overload() -> None:
    shedder = Shedder(1000)
    shedder.shed(traces(10_000, 10), 0.0, ROOM)
    now = 1.0
    while shedder.part < 1.0:
        shedder.shed(traces(1, 10), now, ROOM)
        now += TICK
    assert now < 60


def test_without_room_nothing_is_kept_and_nothing_is_learned() -> None:
    shedder = Shedder(1000)
    assert shedder.shed(traces(10, 10), 0.0, 0) == []
    assert shedder.part == 1.0
    assert len(shedder.shed(traces(10, 10), 0.1, 50)) <= 50


@given(
    st.floats(1, 5000),
    st.lists(st.tuples(st.floats(0, 2), st.integers(0, 60), st.integers(1, 5), st.integers(0, 100)), max_size=30),
)
def test_neither_budget_nor_room_is_exceeded(rate: float, ticks: list[tuple[float, int, int, int]]) -> None:
    shedder, now, kept, start = Shedder(rate), 0.0, 0, 0
    for elapsed, count, size, room in ticks:
        now += elapsed
        some = shedder.shed(traces(count, size, start), now, room)
        start += count
        kept += len(some)
        assert len(some) <= room
        assert kept <= rate * (1 + now) + 1
        assert 0 < shedder.part <= 1
