import itertools
import xml.etree.ElementTree as ElementTree

from iii_cluster.chaos.history import OK, OPEN, Call, Injected
from iii_cluster.chaos.report.picture import LANE, RIGHT, WIDTH, Span, draw
from iii_cluster.chaos.report.statistics import buckets, load_rows, percentile

SVG = "{http://www.w3.org/2000/svg}"


def call(began: float, ended: float, outcome: str = OK, kind: str = "single") -> Call:
    return Call(n=1, kind=kind, function="f", connection=1, began=began, ended=ended, outcome=outcome)


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1.0) == 100
    assert percentile([7.0], 0.5) == 7
    assert percentile([], 0.5) is None


def test_load_is_summed_up_by_kind_and_for_all() -> None:
    rows = load_rows(
        [
            call(0, 1),
            call(0, 3),
            call(0, 2, "TIMEOUT"),
            call(0, 2, "TIMEOUT"),
            call(0, OPEN, ""),
            call(1, 1.5, kind="local"),
        ]
    )
    assert [row.kind for row in rows] == ["local", "single", "all"]
    single, everything = rows[1], rows[2]
    assert (single.calls, single.ok, single.errors) == (5, 2, {"TIMEOUT": 2, "unfinished": 1})
    assert (single.p50, single.p99, single.max) == (1, 3, 3)
    assert (everything.calls, everything.ok, everything.p50) == (6, 3, 1)


def test_failures_that_are_expected_are_no_errors() -> None:
    calls = [call(0, 0.1, "function_not_found", "churn"), call(0, 0.1, "TIMEOUT", "churn"), call(0, 0.1, kind="churn")]
    calls[0].n = 7
    row = load_rows(calls, {7})[0]
    assert (row.calls, row.ok, row.expected, row.errors) == (3, 1, 1, {"TIMEOUT": 1})
    assert buckets(calls, 0.25, {7})[0].failed == 1


def test_the_timeline_counts_calls_where_they_end() -> None:
    row = buckets([call(0, 0.1), call(0, 0.3), call(0.2, 0.4, "E"), call(0, OPEN, ""), call(0, 99)], 1.0)
    assert [(bucket.at, bucket.ok, bucket.failed) for bucket in row] == [
        (0.0, 1, 0),
        (0.25, 1, 1),
        (0.5, 0, 0),
        (0.75, 0, 0),
    ]
    assert row[1].p99 == 0.3
    assert row[2].p99 is None


def fault(index: int, kind: str, began: float, over: float, **fields: object) -> Injected:
    return Injected(index=index, kind=kind, began=began, over=over, victims=["gateway-1"], **fields)  # type: ignore[arg-type]


def picture(faults: list[Injected]) -> ElementTree.Element:
    row = buckets([call(0.01 * n, 0.01 * n + 0.002 * n, OK if n % 7 else "E") for n in range(500)], 10)
    return ElementTree.fromstring(
        draw("seed 1 <& more>", row, {"jobs": [3, 9, 0], "ticks": [1, 1, 1]}, faults, Span(0, 10))
    )


def test_the_picture_is_well_formed_and_names_every_fault_with_its_duration() -> None:
    faults = [
        fault(0, "gateway-freeze", 2.0, 6.0),
        fault(1, "redis-flush", 3.0, 3.0),
        fault(2, "shard-kill", 9.9, OPEN),
        fault(3, "leader-kill", 5.0, 6.0, skipped="nobody led"),
    ]
    texts = [element.text or "" for element in picture(faults).iter(f"{SVG}text")]
    assert "seed 1 <& more>" in texts
    assert "#0 gateway-freeze 4.0 s (gateway-1)" in texts
    assert "#1 redis-flush (gateway-1)" in texts
    assert any(text.startswith("#2 shard-kill") for text in texts)
    assert not any("leader-kill" in text for text in texts)
    assert {"calls/s", "■ succeeded", "■ failed", "effects/s", "■ jobs", "■ ticks", "1 s", "10 s"} <= set(texts)


def test_faults_at_one_time_stand_in_rows_of_their_own() -> None:
    drawn = picture([fault(n, "gateway-kill", 2.0 + n / 10, 4.0) for n in range(4)])
    labels = [element for element in drawn.iter(f"{SVG}text") if (element.text or "").startswith("#")]
    heights = sorted(float(label.attrib["y"]) for label in labels)
    assert [b - a for a, b in itertools.pairwise(heights)] == [LANE] * 3
    assert float(drawn.attrib["height"]) > heights[-1]


def test_colours_of_the_faults_that_happened_are_explained() -> None:
    drawn = picture([fault(0, "gateway-kill", 2, 3), fault(1, "leader-kill", 4, 5), fault(2, "coordinator-term", 6, 7)])
    texts = [element.text or "" for element in drawn.iter(f"{SVG}text")]
    assert [text for text in texts if text.startswith("■")][2:4] == ["■ gateway", "■ coordinator, leader"]


def test_no_bar_sticks_out() -> None:
    row = buckets([call(0.1 * n, 0.1 * n + 0.05) for n in range(101)], 10.1)
    drawn = ElementTree.fromstring(draw("", row, {}, [fault(0, "redis-flush", 10.1, 10.1)], Span(0, 10.1)))
    bars = [element for element in drawn.iter(f"{SVG}rect") if "x" in element.attrib]
    assert max(float(bar.attrib["x"]) + float(bar.attrib["width"]) for bar in bars) <= WIDTH - RIGHT + 0.1


def test_labels_stay_inside_the_picture() -> None:
    drawn = picture([fault(0, "coordinator-freeze", 9.0, 9.9)])
    label = next(element for element in drawn.iter(f"{SVG}text") if (element.text or "").startswith("#"))
    assert label.attrib["text-anchor"] == "end"


def test_a_run_without_calls_and_faults_can_be_drawn() -> None:
    ElementTree.fromstring(draw("nothing", buckets([], 5), {}, [], Span(1, 5)))
