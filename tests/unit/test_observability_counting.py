"""Counts of windows, out of counters of processes that come, go and join anew."""

from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.modules.observability import counting
from iii_cluster.modules.observability.counting import Counted, looked, within
from iii_cluster.telemetry.metrics.functions import FunctionNumbers
from iii_cluster.telemetry.metrics.snapshot import Snapshot

SECOND = 1000
MINUTE = 60 * SECOND
ERROR, TOTAL, SPAWNS = "iii.invocations.error", "iii.invocations.total", "iii.workers.spawns"


def process(pid: int, now: int, errors: int, started: int = 0, node: str = "n", spawns: int = 0) -> Snapshot:
    numbers = {"f": FunctionNumbers(count=errors, errors=errors)}
    return Snapshot(
        node=node, host="h", pid=pid, started_ms=started, time_ms=now, functions=numbers, worker_spawns=spawns
    )


def test_what_happened_before_the_first_look_is_of_no_window() -> None:
    first = looked(None, [process(1, MINUTE, 500, spawns=7)], MINUTE, MINUTE)
    assert set(within(first, MINUTE).values()) == {0}


def test_a_count_ends_with_its_window() -> None:
    known: Counted | None = None
    told = {}
    for second in range(0, 200, 10):
        known = looked(known, [process(1, second * SECOND, 3 if second >= 50 else 0)], second * SECOND, MINUTE)
        told[second] = within(known, MINUTE)[ERROR]
    assert {second for second, count in told.items() if count} == set(range(50, 110, 10))
    assert set(told.values()) == {0, 3}


def test_a_process_that_is_lost_takes_nothing_with_it() -> None:
    known = looked(None, [process(1, 0, 9), process(2, 0, 100)], 0, MINUTE)
    known = looked(known, [process(1, 10_000, 10), process(2, 10_000, 101)], 10_000, MINUTE)
    known = looked(known, [process(1, 20_000, 10)], 20_000, MINUTE)
    assert within(known, MINUTE)[ERROR] == 2


def test_a_process_that_begins_counts_from_its_beginning() -> None:
    known = looked(None, [process(1, 0, 9)], 0, MINUTE)
    known = looked(known, [process(1, 10_000, 9), process(2, 10_000, 4, started=3_000)], 10_000, MINUTE)
    assert within(known, MINUTE)[ERROR] == 4


def test_a_process_that_was_not_known_though_it_is_old_counts_from_now_on() -> None:
    known = looked(None, [process(1, 100 * MINUTE, 9)], 100 * MINUTE, MINUTE)
    for errors in (5000, 5001):
        later = known.now.time + 10_000
        known = looked(known, [process(1, later, 9), process(2, later, errors)], later, MINUTE)
    assert within(known, MINUTE)[ERROR] == 1


def test_a_process_goes_on_counting_when_its_node_joins_anew() -> None:
    known = looked(None, [process(1, 0, 9, node="a")], 0, MINUTE)
    known = looked(known, [], 10_000, MINUTE)
    known = looked(known, [process(1, 20_000, 11, node="b")], 20_000, MINUTE)
    assert within(known, MINUTE)[ERROR] == 2


def test_who_looks_with_an_older_answer_counts_nothing_twice() -> None:
    known = looked(None, [process(1, 0, 9)], 0, MINUTE)
    for errors in (12, 11, 12):
        known = looked(known, [process(1, 10_000, errors)], known.now.time + 10, MINUTE)
    assert within(known, MINUTE)[ERROR] == 3


def test_looks_in_one_millisecond_or_by_a_clock_that_is_behind_lose_nothing() -> None:
    known = looked(None, [process(1, 0, 9)], MINUTE, MINUTE)
    for errors, now in ((10, MINUTE), (11, MINUTE), (12, MINUTE - 500)):
        known = looked(known, [process(1, 0, errors)], now, MINUTE)
        assert within(known, MINUTE)[ERROR] == errors - 9


def test_what_happened_while_nobody_looked_is_not_of_the_last_minute() -> None:
    known = looked(None, [process(1, 0, 0)], 0, MINUTE)
    known = looked(known, [process(1, 10_000, 1)], 10_000, MINUTE)
    late = 30 * MINUTE
    known = looked(known, [process(1, late, 900)], late, MINUTE)
    assert within(known, MINUTE)[ERROR] == 0
    known = looked(known, [process(1, late + 10_000, 902)], late + 10_000, MINUTE)
    assert within(known, MINUTE)[ERROR] == 2


def test_the_look_after_a_takeover_goes_on_from_what_is_known() -> None:
    known = looked(None, [process(1, 0, 0)], 0, MINUTE)
    known = looked(known, [process(1, 10_000, 1)], 10_000, MINUTE)
    read = counting.decode(counting.encode(known))
    assert within(looked(read, [process(1, 40_000, 3)], 40_000, MINUTE), MINUTE)[ERROR] == 3


def test_processes_that_are_long_gone_are_forgotten() -> None:
    known = looked(None, [process(1, 0, 9), process(2, 0, 9)], 0, MINUTE)
    known = looked(known, [process(2, 2 * counting.FORGOTTEN, 9)], 2 * counting.FORGOTTEN, MINUTE)
    assert list(known.processes) == ["h:2:0"]


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5)), min_size=1, max_size=120),
    st.sampled_from([5, 60, 300, 1200]),
)
def test_a_window_holds_no_less_than_happened_in_it_and_little_more(looks: list[tuple[int, int]], window: int) -> None:
    """Looks are some seconds apart, and between two of them something happens."""
    known = looked(None, [process(1, 0, 0)], 0, 1200 * SECOND)
    now, errors, happened = 0, 0, list[tuple[int, int]]()
    for pause, more in looks:
        now, errors = now + pause * SECOND, errors + more
        happened.append((now, more))
        known = looked(known, [process(1, now, errors)], now, 1200 * SECOND)
        told = within(known, window * SECOND)[ERROR]
        least = sum(more for time, more in happened if time > now - window * SECOND)
        most = sum(more for time, more in happened if time > now - window * SECOND - counting._slack(window * SECOND))
        assert least <= told <= most


@given(st.integers(1, 10), st.integers(60, 24 * 3600))
def test_totals_of_any_window_are_few(every: int, longest: int) -> None:
    known = looked(None, [], 0, longest * SECOND)
    for look in range(1, 1200):
        known = looked(known, [], look * every * SECOND, longest * SECOND)
    assert len(known.earlier) < 400
