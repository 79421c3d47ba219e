"""`iii-cluster logs` and `iii-cluster trace`, against answers as the cluster gives them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.cli.logs import Seen, line_of
from iii_cluster.cli.moments import duration
from iii_cluster.cli.trace import waterfall
from tests.support.cli_engine import Engine, answering, run

SECOND = 10**9


@pytest.fixture
def engine() -> Iterator[Engine]:
    with answering() as engine:
        yield engine


def log(body: str, at: int = 1, severity: int = 9, **more: Any) -> dict[str, Any]:
    return {
        "timestamp_unix_nano": at * SECOND,
        "observed_timestamp_unix_nano": at * SECOND,
        "severity_number": severity,
        "severity_text": "INFO",
        "body": body,
        "attributes": {},
        "trace_id": None,
        "span_id": None,
        "service_name": "billing",
        **more,
    }


def span(name: str, start: int = 0, end: int = SECOND, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "trace_id": "ab" * 16,
        "span_id": "cd" * 8,
        "name": name,
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "status": "ok",
        "service_name": "billing",
        "children": list(children),
        **more,
    }


def test_the_last_records_are_shown_oldest_first(engine: Engine) -> None:
    newest_first = [log(f"record {at}", at) for at in (3, 2, 1)]
    engine.replies["engine::logs::list"] = lambda call: {"result": {"logs": newest_first, "total": 3}}
    shown = run(engine, "logs", "-n", "2", "--level", "warn", "--trace", "abc").stdout.splitlines()
    assert [line.split("  ")[2] for line in shown] == ["record 2", "record 3"]
    assert all(line.startswith("1970-01-01 ") for line in shown)
    assert engine.calls[0]["data"] == {"severity_min": 13, "trace_id": "abc"}
    assert run(engine, "logs", "-n", "0").stdout == ""


def test_records_can_be_chosen_by_service_and_text(engine: Engine) -> None:
    records = [log("Paid", service_name="shop"), log("paid"), log("failed")]
    engine.replies["engine::logs::list"] = lambda call: {"result": {"logs": records, "total": 3}}
    shown = run(engine, "logs", "--service", "BILL", "--grep", "pAid", "--json").stdout.splitlines()
    assert [json.loads(line)["body"] for line in shown] == ["paid"]


def test_what_is_followed_is_shown_once(engine: Engine) -> None:
    answers = iter([[log("a")], [log("b", 2), log("a")], [log("c", 3), log("b", 2)]])

    def reply(call: dict[str, Any]) -> dict[str, Any]:
        records = next(answers, None)
        if records is None:
            return {"error": {"code": "gone", "message": "enough"}}
        return {"result": {"logs": records}}

    engine.replies["engine::logs::list"] = reply
    result = run(engine, "logs", "--follow")
    assert [line.split("  ")[2] for line in result.stdout.splitlines()] == ["a", "b", "c"]
    assert result.stderr == "error: gone: enough\n"
    assert "start_time" in engine.calls[1]["data"]


def test_a_gateway_that_goes_away_is_outlived(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iii_cluster.cli.logs.RETRY", 0.01)
    answers = iter([{"result": {"logs": [log("a")]}}, None, {"result": {"logs": [log("b", 2)]}}])
    ended = {"error": {"code": "gone", "message": "enough"}}
    engine.replies["engine::logs::list"] = lambda call: next(answers, ended)
    result = run(engine, "logs", "--follow")
    assert [line.split("  ")[2] for line in result.stdout.splitlines()] == ["a", "b"]
    assert result.stderr.splitlines()[0].endswith("trying again")


def test_two_records_that_differ_in_anything_are_two() -> None:
    seen = Seen()
    records = [log("a"), log("b"), log("a", 2), log("a", service_name="x"), log("a", severity=17)]
    assert list(seen.new(records)) == records
    assert list(seen.new(records)) == []


def test_what_workers_log_cannot_steer_the_terminal() -> None:
    line = line_of(log("a\x1b[2Jb\rc", service_name="\x07x", attributes={"k\n": "v\x1b"})).plain
    assert line.isprintable()


def summary(name: str, trace_id: str = "ab" * 16, errors: int = 0) -> dict[str, Any]:
    return {
        "trace_id": trace_id,
        "name": name,
        "service_name": "billing",
        "start_time_unix_nano": 0,
        "end_time_unix_nano": SECOND,
        "duration_ns": SECOND,
        "span_count": 7,
        "error_count": errors,
    }


def test_traces_are_listed_newest_first(engine: Engine) -> None:
    engine.replies["engine::traces::summaries"] = lambda call: {"result": {"traces": [summary("GET orders/:id")]}}
    header, row = run(engine, "trace", "--errors", "--slower-than", "5", "--name", "GET").stdout.splitlines()
    assert header.split("\t")[-1] == "trace_id"
    assert row.split("\t")[1:] == ["1.00 s", "7", "", "GET orders/:id", "billing", "ab" * 16]
    asked = engine.calls[0]["data"]
    assert (asked["sort_order"], asked["status"], asked["min_duration_ms"]) == ("desc", "error", 5)


def test_a_trace_is_shown_as_a_tree(engine: Engine) -> None:
    tree = span("GET", 0, 9, span("second", 5, 8), span("first", 1, 4, span("inner", 2, 3)))
    engine.replies["engine::traces::tree"] = lambda call: {"result": {"roots": [tree]}}
    header, *lines = run(engine, "trace", "AB" * 16).stdout.splitlines()
    assert header.split("\t") == ["span", "service", "status", "began", "took", "error"]
    assert [line.split("\t")[0] for line in lines] == ["GET", "  first", "    inner", "  second"]
    assert engine.calls[0]["data"] == {"trace_id": "ab" * 16}


def test_the_beginning_of_an_id_will_do_if_no_other_begins_so(engine: Engine) -> None:
    kept = [summary("GET"), summary("GET", "ac" * 16)]
    engine.replies["engine::traces::summaries"] = lambda call: {"result": {"traces": kept}}
    engine.replies["engine::traces::tree"] = lambda call: {"result": {"roots": [span(call["data"]["trace_id"])]}}
    assert "ab" * 16 in run(engine, "trace", "ab").stdout
    assert "is not the beginning of one trace only" in run(engine, "trace", "a").stderr
    assert "no trace that is kept begins with ff" in run(engine, "trace", "ff").stderr


def test_a_trace_that_is_not_there_is_one_line(engine: Engine) -> None:
    engine.replies["engine::traces::tree"] = lambda call: {"result": {"roots": []}}
    result = run(engine, "trace", "ff" * 16)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: there is no trace {'ff' * 16}")


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), min_size=1, max_size=20))
def test_bars_lie_within_the_trace(times: list[tuple[int, int]]) -> None:
    roots = [span(str(at), start, end) for at, (start, end) in enumerate(times)]
    rows = waterfall(roots)
    assert len(rows) == len(times)
    assert all(0 <= begin <= end <= 1 for _, _, (begin, end) in rows)


def test_durations_have_three_digits() -> None:
    assert [duration(ns) for ns in (1_500, 12_340_000, 4_560_000_000)] == ["2 µs", "12.3 ms", "4.56 s"]
