"""What is counted of functions, and what comes of it when several processes have counted."""

import json
from bisect import bisect_left

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.telemetry.metrics.durations import BOUNDS, BUCKETS, quantile
from iii_cluster.telemetry.metrics.functions import (
    MAX_CODE,
    MAX_CODES,
    MAX_ENQUEUED,
    MAX_FUNCTIONS,
    OTHER,
    UNKNOWN,
    Functions,
)
from iii_cluster.telemetry.metrics.gather import all_functions, decoded, functions_of
from iii_cluster.telemetry.metrics.metrics import Metrics
from iii_cluster.telemetry.metrics.snapshot import Snapshot, decode_snapshot, encode_snapshot
from iii_cluster.telemetry.metrics.worst import Worst

seconds = st.floats(0, 100)


def error(code: object) -> bytes:
    return json.dumps({"code": code, "message": "no"}).encode()


@given(st.lists(st.tuples(st.sampled_from("ab"), seconds, st.booleans())), st.lists(seconds, max_size=3))
def test_every_call_is_counted_once_whichever_process_counts_it(
    calls: list[tuple[str, float, bool]], deferred: list[float]
) -> None:
    one, two = Functions(), Functions()
    for at, (id, took, failed) in enumerate(calls):
        (one if at % 2 else two).ended(id, took, error("no") if failed else b"")
    for _ in deferred:
        one.deferred("a")
    total = all_functions(functions_of([Snapshot(functions=each.numbers()) for each in (one, two)]).values())
    assert (total.count, total.errors) == (len(calls), sum(failed for *_, failed in calls))
    assert total.deferred == len(deferred)
    assert total.seconds == pytest.approx(sum(took for _, took, _ in calls))
    assert total.buckets == [sum(bisect_left(BOUNDS, took) == at for _, took, _ in calls) for at in range(BUCKETS)]


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    functions = Functions()
    for bound in BOUNDS:
        functions.ended("a", bound, b"")
    functions.ended("a", 1e9, b"")
    assert functions.numbers()["a"].buckets == [1] * BUCKETS


def test_more_functions_than_have_numbers_of_their_own_share_one() -> None:
    functions = Functions()
    for number in range(MAX_FUNCTIONS + 5):
        functions.ended(f"f{number}", 0.001, error("no"))
        functions.deferred(f"f{number}")
    numbers = functions.numbers()
    assert len(numbers) == MAX_FUNCTIONS + 1
    assert (numbers[OTHER].count, numbers[OTHER].errors, numbers[OTHER].deferred) == (5, 5, 5)
    assert functions.error_codes()[OTHER] == {"no": 5}
    functions.exemplar("f999999", 0.001, "ab")
    assert functions.exemplars(OTHER)[1].trace_id == "ab"


def test_ids_that_callers_make_up_take_no_places() -> None:
    functions = Functions()
    for number in range(5 * MAX_FUNCTIONS):
        functions.ended(f"made-up-{number}", 0.001, error(["function_not_found", "FORBIDDEN"][number % 2]))
    functions.ended("real", 0.001, b"")
    functions.ended("real", 0.001, error("function_not_found"))
    numbers = functions.numbers()
    assert set(numbers) == {UNKNOWN, "real"}
    assert (numbers[UNKNOWN].count, numbers[UNKNOWN].errors) == (5 * MAX_FUNCTIONS, 5 * MAX_FUNCTIONS)
    assert functions.error_codes()[UNKNOWN] == dict.fromkeys(("function_not_found", "FORBIDDEN"), 2.5 * MAX_FUNCTIONS)
    assert functions.error_codes()["real"] == {"function_not_found": 1}


def test_ids_that_are_only_put_into_queues_leave_places_for_others() -> None:
    functions = Functions()
    for number in range(5 * MAX_FUNCTIONS):
        functions.deferred(f"made-up-{number}")
    functions.ended("real", 0.001, b"")
    functions.deferred("real")
    numbers = functions.numbers()
    assert len(numbers) == MAX_ENQUEUED + 2
    assert sum(own.deferred for own in numbers.values()) == 5 * MAX_FUNCTIONS + 1
    assert numbers["real"].deferred == 1


@pytest.mark.parametrize("body", [b"{}", b"null", b'"no"', b'{"code": 4}', b"[" * 5000, b"\xff", b"no json"])
def test_an_error_without_a_code_is_an_error(body: bytes) -> None:
    functions = Functions()
    functions.ended("a", 0.0, body)
    assert functions.error_codes() == {"a": {UNKNOWN: 1}}
    assert functions.numbers()["a"].errors == 1


def test_codes_that_workers_make_up_are_bounded() -> None:
    functions = Functions()
    for number in range(MAX_CODES + 3):
        functions.ended("a", 0.0, error(f"{number}" + "x" * 1000))
    codes = functions.error_codes()["a"]
    assert codes[OTHER] == 3
    assert max(map(len, codes)) == MAX_CODE


@given(st.lists(seconds, min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_in_the_bucket_it_belongs_to(values: list[float], part: float) -> None:
    buckets = [sum(bisect_left(BOUNDS, value) == at for value in values) for at in range(BUCKETS)]
    exact = sorted(values)[max(0, -(-len(values) * part // 1).__int__() - 1)]
    found = quantile(buckets, part)
    at = bisect_left(BOUNDS, exact)
    low, high = (BOUNDS[at - 1] if at else 0.0), BOUNDS[min(at, len(BOUNDS) - 1)]
    assert low - 1e-9 <= found <= high + 1e-9 or found == pytest.approx(high)


def test_without_calls_there_is_no_percentile() -> None:
    assert quantile([0] * BUCKETS, 0.99) == 0.0


def test_a_snapshot_survives_its_journey_and_nonsense_counts_as_no_answer() -> None:
    metrics = Metrics()
    metrics.functions.ended("a", 0.2, error("no"))
    metrics.watch(lambda snapshot: snapshot.gauges.update(tea=3.5))
    metrics.watch_drops("store", lambda: {"spans": 4})
    snapshot = metrics.snapshot()
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    assert (snapshot.gauges, snapshot.dropped) == ({"tea": 3.5}, {"store/spans": 4})
    assert snapshot.rss_bytes > 2**20
    assert 3 <= snapshot.fds <= snapshot.max_fds
    assert snapshot.cpu_seconds > 0
    found, missing = decoded({"a": encode_snapshot(snapshot), "b": b"\xc1", "c": None}, ["d"])
    assert (found, missing) == ({"a": snapshot}, {"b", "c", "d"})
    assert msgspec.json.encode(snapshot)


def test_the_worst_is_forgotten_after_two_windows_at_most() -> None:
    worst = Worst(10.0)
    worst.put(3.0, 100.0)
    worst.put(1.0, 101.0)
    assert worst.get(109.0) == 3.0
    assert worst.get(119.0) == 3.0
    worst.put(2.0, 119.5)
    assert worst.get(121.0) == 2.0
    assert worst.get(1000.0) == 0.0
