"""Logs, metrics, alerts and rollups: choosing, adding up, judging."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.config.document import parse_document
from iii_cluster.config.errors import Findings
from iii_cluster.config.reference import read_reference
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.observability import alerts, counting, metrics, rollups, statistics, triggers
from iii_cluster.modules.observability.counting import Counted, Totals
from iii_cluster.modules.observability.inputs import ListLogs, ListMetrics, WriteLog
from iii_cluster.modules.observability.logs import chosen, level_of, written
from iii_cluster.modules.observability.module import ObservabilityModule
from iii_cluster.modules.observability.other_functions import baggage_of
from iii_cluster.modules.observability.pages import Pages
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.config import AlertRule, FunctionAction, Observability, from_entry
from iii_cluster.telemetry.gauges import latest
from iii_cluster.telemetry.records import HistogramPoint, Metric
from tests.support.spans import MS, finished, log, metric, span

SECOND = 1000 * MS


# -- logs

LOGS = [
    log("a", time=10, trace="t1", span="s1", severity=9, text="INFO"),
    log("b", time=30, trace="t1", span="s2", severity=17, text="ERROR"),
    log("c", time=0, observed=20, trace="t2", severity=13, text="Warn"),
    log("d", time=30, severity=5, text="DEBUG"),
]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, "dbca"),
        ({"trace_id": "t1"}, "ba"),
        ({"span_id": "s1"}, "a"),
        ({"severity_min": 13}, "bc"),
        ({"severity_text": "warn"}, "c"),
        ({"start_time": 20}, "dbc"),
        ({"end_time": 20}, "ca"),
        ({"start_time": 15, "end_time": 25}, "c"),
        ({"trace_id": "t1", "severity_min": 10}, "b"),
        ({"start_time": 2**64 - 1}, ""),
        ({"end_time": 2**64 - 1}, "dbca"),
        ({"limit": 0}, ""),
        ({"limit": 2}, "db"),
        ({"offset": 3}, "a"),
        ({"offset": 9}, ""),
    ],
)
def test_logs_are_listed_the_newest_first(asked: dict[str, Any], wanted: str) -> None:
    found, total = finished(chosen(LOGS, msgspec.convert(asked, ListLogs)))
    assert "".join(each.body for each in found) == wanted
    assert total == (len(wanted) if not {"limit", "offset"} & asked.keys() else len(LOGS))


@pytest.mark.parametrize(
    ("severity", "text", "level"),
    [(1, "", "trace"), (4, "", "trace"), (8, "", "debug"), (9, "", "info"), (16, "", "warn"), (17, "", "error"),
     (24, "", "error"), (0, "WARNING", "warn"), (0, "Info", "info"), (0, "", "")],
)  # fmt: skip
def test_every_severity_belongs_to_one_level(severity: int, text: str, level: str) -> None:
    assert level_of(log(severity=severity, text=text)) == level


def test_what_a_function_writes_is_a_record_without_secrets_and_colours() -> None:
    said = WriteLog("\x1b[31mred\x1b[0m", {"password": "p", "n": 1})
    record = written("warn", said, "t", "s", 5)
    assert (record.body, record.severity_number, record.severity_text) == ("red", 13, "WARN")
    assert record.attributes == {"log.data": {"password": "[REDACTED]", "n": 1}}
    assert (record.trace_id, record.span_id, record.service_name) == ("t", "s", "unknown")
    own = written("info", WriteLog("m", trace_id="u", service_name="shop"), "t", "s", 5)
    assert (own.trace_id, own.span_id, own.service_name, own.attributes) == ("u", None, "shop", {})


# -- triggers


def trigger(type: str, **config: Any) -> Trigger:
    return Trigger("t", type, "on::it", msgspec.json.encode(config))


def test_a_log_trigger_is_for_one_level_or_all() -> None:
    assert triggers.level_wanted(trigger("log")) == "all"
    assert triggers.level_wanted(trigger("log", level="WARN")) == "warn"
    for wrong in ({"level": "loud"}, {"level": 3}):
        with pytest.raises(EngineError):
            triggers.check_log(trigger("log", **wrong))


def test_a_trace_trigger_compares_whatever_the_case() -> None:
    wanted = triggers.trace_wanted(trigger("trace", service_name="SHOP", status="error"))
    assert wanted.fits(span("a", service="shop", status="ERROR"))
    assert not wanted.fits(span("a", service="shop", status="ok"))
    assert not wanted.fits(span("a", service="shops", status="error"))
    assert triggers.trace_wanted(trigger("trace")).fits(span("a"))


@pytest.mark.parametrize("status", ["failed", "errors", "200", " ok"])
def test_a_trace_trigger_for_a_status_that_no_span_has_is_refused_with_those_that_there_are(status: str) -> None:
    with pytest.raises(EngineError) as refused:
        triggers.check_trace(trigger("trace", status=status))
    assert refused.value.message == "`status` is none of ok, error, unset"
    for known in ("ok", "ERROR", "Unset", "", None):
        triggers.check_trace(trigger("trace", status=known))


def test_what_the_engine_does_by_itself_is_of_no_interest() -> None:
    assert not triggers.of_interest(span("a", iii__function__kind="internal"))
    assert not triggers.of_interest(span("a", "b", pending=True, iii__function__kind="internal"))
    assert triggers.of_interest(span("a", "b", iii__function__kind="internal"))
    assert triggers.of_interest(span("a", pending=True))


def test_a_page_is_passed_when_it_and_all_before_it_are_done_with() -> None:
    pages = Pages()
    first, second = pages.read("1"), pages.read("2")
    first.begin()
    for page in (first, second):
        page.done()
    assert pages.passed() == ""
    first.done()
    assert pages.passed() == "2"
    assert pages.passed() == ""


# -- metrics


def histogram(count: int, total: float, counts: list[int], time: int = 0, **labels: str) -> Metric:
    point = HistogramPoint(count, total, counts, [1.0], 0.1, 9.0, list(labels.items()), time * MS)
    return Metric("h", "", "s", "histogram", [point], "shop", time * MS)


def test_values_are_added_up_by_name_and_interval() -> None:
    kept = [metric("a", 1, 2, time=1000), metric("a", 3, 4, 5, time=1900), metric("b", 7, time=3000), metric("c")]
    asked = ListMetrics(start_time=1000, end_time=5000, aggregate_interval=1)
    found = finished(metrics.chosen(kept, asked))
    assert [each.name for each in found] == ["a", "a", "b"]
    a, b = finished(metrics.aggregated(found, asked))
    assert (a.name, a.bucket_start_ns, a.bucket_end_ns) == ("a", SECOND, 2 * SECOND)
    assert (a.count, a.sum, a.min, a.max, a.avg) == (5, 15, 1, 5, 3)
    assert a.percentiles == {"p50": 3, "p75": 4, "p90": 5, "p95": 5, "p99": 5}
    assert (b.name, b.bucket_start_ns, b.percentiles) == ("b", 3 * SECOND, None)
    assert finished(metrics.aggregated(found, ListMetrics(aggregate_interval=1))) == []
    assert finished(metrics.aggregated(found, ListMetrics(start_time=0, end_time=1, aggregate_interval=0))) == []
    assert [m.name for m in finished(metrics.chosen(kept, ListMetrics(metric_name="b")))] == ["b"]


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_percentile_is_one_of_the_values_and_they_ascend(values: list[float]) -> None:
    values.sort()
    found = [statistics.percentile(values, percent) for percent in (0, 50, 75, 90, 95, 99, 100)]
    assert found == sorted(found)
    assert set(found) <= set(values)
    assert (found[0], found[-1]) == (values[0], values[-1])


def test_performance_is_of_spans_that_have_ended() -> None:
    spans = [span("a", start=0, end=10), span("b", start=0, end=30), span("c", pending=True)]
    told = finished(metrics.span_performance(spans))
    assert (told["avg_duration_ms"], told["min_duration_ms"], told["max_duration_ms"]) == (20, 10, 30)
    assert set(finished(metrics.span_performance([])).values()) == {0.0}


def test_gauges_are_shown_with_the_worker_they_are_of() -> None:
    own = {"worker.id": "w1"}
    kept = [
        metric("iii.worker.cpu.percent", 1.0, time=1000, **own),
        metric("iii.worker.cpu.percent", 2.0, time=2000, **own),
        metric("iii.worker.memory.rss", 7.0, time=2000, **own),
        metric("iii.worker.memory.rss", 7.0, time=2000),
        metric("other", 7.0, time=2000, **own),
    ]
    shown = latest(kept, 3 * SECOND)
    assert shown.keys() == {"w1"}
    assert (shown["w1"]["cpu_percent"], shown["w1"]["memory_rss"], shown["w1"]["timestamp_ms"]) == (2.0, 7.0, 2000)
    assert shown["w1"]["uptime_seconds"] is None
    assert latest(kept, 500 * SECOND) == {}


# -- alerts


def rule(operator: Any = ">", threshold: float = 5, metric: str = "m", **more: Any) -> AlertRule:
    return AlertRule("r", metric, threshold, operator, **more)


@pytest.mark.parametrize(
    ("names", "listed", "holds"),
    [
        ((">", "greaterthan"), "GreaterThan", (False, False, True)),
        ((">=", "greaterthanorequal"), "GreaterThanOrEqual", (False, True, True)),
        (("<", "lessthan"), "LessThan", (True, False, False)),
        (("<=", "lessthanorequal"), "LessThanOrEqual", (True, True, False)),
        (("==", "equal"), "Equal", (False, True, False)),
        (("!=", "notequal"), "NotEqual", (True, False, True)),
    ],
)
def test_operators_by_all_their_names(names: tuple[str, ...], listed: str, holds: tuple[bool, ...]) -> None:
    for name in names:
        assert alerts.operator_name(rule(name)) == listed
        assert tuple(alerts.holds(rule(name), value) for value in (4.0, 5.0, 6.0)) == holds
        assert not alerts.holds(rule(name), None)
        assert not alerts.holds(rule(name), float("nan"))


def test_an_alert_looks_at_the_engine_or_at_what_workers_measured_in_its_window() -> None:
    now = 100 * SECOND
    kept = [
        metric("count", 1, 2, time=90_000, kind="counter"),
        metric("count", 4, time=30_000, kind="counter"),
        metric("heat", 10, 30, time=90_000),
        histogram(4, 2.0, [4, 0], time=90_000),
    ]
    values = {name: alerts.measured(rule(metric=name), kept, now) for name in ("count", "heat", "h", "none")}
    assert values == {"count": 3, "heat": 20, "h": 0.5, "none": None}
    assert alerts.measured(rule(metric="count", window_seconds=100), kept, now) == 7
    counted = Counted(Totals(100_000, [9] * 6), [Totals(30_000, [2] * 6), Totals(90_000, [5] * 6)])
    total = [alerts.engine_value(rule(metric=counting.COUNTERS[0], window_seconds=n), 3, counted) for n in (10, 60)]
    assert total == [4, 7]
    assert alerts.engine_value(rule(metric="iii.workers.active"), 3, counted) == 3


@pytest.mark.parametrize("path", ["engine::traces::clear", "state::set", "publish", "iii::queue::redrive"])
def test_an_alert_calls_no_function_of_the_engine(path: str) -> None:
    config = Observability(alerts=(rule(action=FunctionAction(path)),))
    with pytest.raises(BadConfig) as refused:
        ObservabilityModule(config)
    assert refused.value.place == ("alerts", 0, "action", "path")


WRONG_RULES = """\
workers:
  - name: iii-observability
    config:
      alerts:
        - {name: a, metric: iii.invocations.error, threshold: 1}
        - {name: b, metric: iii.worker.cpu.percent, threshold: 1}
        - name: a
          metric: iii.invocations.errors
          threshold: 1
        - {name: c, metric: shop.orders, threshold: 1, action: {type: webhook, url: "https://example.com/hook"}}
        - name: d
          metric: shop.orders
          threshold: 1
          action:
            type: webhook
            url: http://example.com/secret
"""


def read(text: str) -> list[str]:
    findings = Findings("c.yaml")
    read_reference(parse_document(text, {}, "c.yaml"), findings)
    return sorted(str(error) for error in findings.errors)


def test_rules_that_share_a_name_or_look_at_nothing_or_may_not_tell_are_refused_with_their_lines() -> None:
    assert read(WRONG_RULES) == [
        "c.yaml:16: iii-observability: `alerts[4].action.url`: HTTPS is required "
        "(`security.require_https: false` of iii-http-functions allows http)",
        "c.yaml:7: iii-observability: `alerts[2].name`: alerts[0] has the name `a` already",
        "c.yaml:8: iii-observability: `alerts[2].metric`: the engine has no metric `iii.invocations.errors` "
        "(did you mean `iii.invocations.error`?)",
    ]


def test_a_webhook_may_go_where_http_functions_may() -> None:
    more = "  - {name: iii-http-functions, config: {security: {require_https: false}}}\n"
    assert not any("action.url" in line for line in read(WRONG_RULES + more))
    private = WRONG_RULES.replace("http://example.com", "https://10.0.0.1")
    assert "Private IP blocked (`security.block_private_ips: false`" in read(private)[0]


def test_an_alert_may_call_functions_of_users() -> None:
    assert not alerts.refused(rule(action=FunctionAction("pager::call")))
    assert not alerts.refused(rule(action=FunctionAction("steps::page")))


@pytest.mark.parametrize(
    "config",
    [
        {"alerts": [{"name": "a", "metric": "m", "threshold": 1, "operator": "above"}]},
        {"alerts": [{"name": "a", "metric": "m", "threshold": 1, "action": {"type": "pager"}}]},
        {"logs_batch_size": 0},
        {"logs_batch_size": 10_001},
        {"logs_flush_interval_ms": 99},
        {"sampling_ratio": 1.5},
    ],
)
def test_settings_that_make_no_sense_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        from_entry(config)


# -- rollups


@given(st.lists(st.tuples(st.integers(0, 3599), st.integers(-100, 100)), min_size=1, max_size=60))
def test_rollups_of_all_levels_tell_of_every_value_once(points: list[tuple[int, int]]) -> None:
    kept = [metric("m", value, time=second * 1000) for second, value in points]
    minutes = finished(rollups.rolled(kept))
    by_five: dict[int, list[rollups.Bucket]] = {}
    for start in sorted(minutes):
        by_five.setdefault(start // 300 * 300, []).append(minutes[start])
    fives = [rollups.merged(parts, start, 1) for start, parts in sorted(by_five.items())]
    (hour,) = rollups.merged(fives, 0, 2).rollups
    values = [value for _, value in points]
    assert (hour.count, hour.sum, hour.min, hour.max) == (len(values), sum(values), min(values), max(values))
    assert (hour.bucket_start_ns, hour.bucket_end_ns) == (0, 3600 * SECOND)
    for start, bucket in minutes.items():
        own = [value for second, value in points if second // 60 * 60 == start]
        (one,) = bucket.rollups
        assert (one.count, one.sum, one.bucket_start_ns) == (len(own), sum(own), start * SECOND)


def test_of_histograms_that_count_on_the_last_word_of_each_series_counts() -> None:
    kept = [
        histogram(1, 1.0, [1, 0], time=1000, a="1"),
        histogram(3, 5.0, [2, 1], time=2000, a="1"),
        histogram(2, 2.0, [2, 0], time=2000, a="2"),
    ]
    (found,) = finished(rollups.rolled(kept))[0].histogram_rollups
    assert (found.count, found.sum, found.bucket_counts, found.explicit_bounds) == (5, 7.0, [4, 1], [1.0])
    later = rollups.merged([finished(rollups.rolled(kept[:1]))[0], finished(rollups.rolled(kept))[0]], 0, 1)
    assert later.histogram_rollups[0].count == 5


def test_a_minute_holds_a_bounded_number_of_series() -> None:
    kept = [metric(f"m{n}", 1) for n in range(rollups.MAX_SERIES + 5)]
    assert len(finished(rollups.rolled(kept))[0].rollups) == rollups.MAX_SERIES


# -- baggage


@pytest.mark.parametrize(
    ("raw", "members"),
    [
        (b"", {}),
        (b'"a=1,b=x%20y;p=q, c = 3"', {"a": "1", "b": "x y", "c": "3"}),
        (b'"nonsense,=1"', {}),
        (b"[1]", {}),
    ],
)
def test_baggage_is_read(raw: bytes, members: dict[str, str]) -> None:
    assert baggage_of(raw) == members
