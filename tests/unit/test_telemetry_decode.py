"""Telemetry frames of workers: what is made of them, what they may hold, and that nothing in them raises."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.telemetry.otlp import decode, not_numbers
from iii_cluster.telemetry.otlp.decode import BadFrame, Record, log_of, metric_of, records, span_of
from iii_cluster.telemetry.otlp.values import MAX_ATTRIBUTES, MAX_TEXT
from iii_cluster.telemetry.records import Event, HistogramPoint, Kind, Link, Log, Metric, NumberPoint, Span
from tests.support.telemetry import (
    NOW,
    SPAN_ID,
    TRACE_ID,
    any_value,
    key_values,
    logs_frame,
    metrics_frame,
    spans_frame,
    wire_span,
)

READERS = {b"OTLP": span_of, b"LOGS": log_of, b"MTRC": metric_of}


def read(frame: bytes) -> list[Any]:
    """Its records; None where one is bad."""
    return [READERS[frame[:4]](*record, NOW) for record in records(frame)]


def one(frame: bytes) -> Any:
    [record] = read(frame)
    return record


def span(**members: Any) -> Span:
    made = one(spans_frame(wire_span(**members)))
    assert isinstance(made, Span)
    return made


def log(**members: Any) -> Log:
    made = one(logs_frame(members))
    assert isinstance(made, Log)
    return made


# -- spans


def test_a_span_is_read_as_it_was_said() -> None:
    said = span(
        attributes=key_values({"function_id": "billing::charge"}),
        events=[{"name": "e", "timeUnixNano": str(NOW), "attributes": key_values({"n": 1})}],
        links=[{"traceId": TRACE_ID, "spanId": SPAN_ID, "traceState": "a=b"}],
        status={"code": 2, "message": "it failed"},
        flags=257,
        traceState="a=b",
        kind=2,
    )
    expected = Span(
        TRACE_ID,
        SPAN_ID,
        None,
        "execute billing::charge",
        NOW,
        NOW + 50_000_000,
        "error",
        [("function_id", "billing::charge")],
        "billing",
        "it failed",
        [Event("e", NOW, [("n", "1")])],
        [Link(TRACE_ID, SPAN_ID, "a=b")],
        "app",
        "",
        257,
        "a=b",
    )
    expected.kind = Kind.SERVER
    expected.resource = {"service.name": "billing"}
    assert said == expected


@pytest.mark.parametrize("time", [NOW, str(NOW)], ids=type)
def test_numbers_may_be_strings(time: Any) -> None:
    assert span(startTimeUnixNano=time).start_time_unix_nano == NOW
    value = {"intValue": time}
    assert span(attributes=[{"key": "n", "value": value}]).attributes == [("n", str(NOW))]
    assert log(timeUnixNano=time, attributes=[{"key": "n", "value": value}]).attributes == {"n": NOW}


@pytest.mark.parametrize("parent", ["", "0" * 16, None, "nonsense", SPAN_ID.upper()])
def test_a_parent_that_is_no_id_is_none(parent: str | None) -> None:
    assert span(parentSpanId=parent).parent_span_id == (SPAN_ID if parent == SPAN_ID.upper() else None)


@pytest.mark.parametrize("trace_id", ["", "0" * 32, "xyz", TRACE_ID[1:], TRACE_ID + "0", "CvdlGRbNQ92ESOshHIAxnA=="])
def test_a_span_without_ids_is_left_out_and_others_are_not(trace_id: str) -> None:
    bad, good = wire_span(traceId=trace_id), wire_span(traceId=TRACE_ID.upper())
    assert [each and each.trace_id for each in read(spans_frame(bad, good))] == [None, TRACE_ID]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (7, "7"),
        (True, "true"),
        (1.5, "1.5"),
        (["a", 1], '["a",1]'),
        ({"a": {"b": [False]}}, '{"a":{"b":[false]}}'),
    ],
)
def test_attributes_of_spans_are_texts_and_those_of_logs_are_not(value: Any, text: str) -> None:
    assert span(attributes=key_values({"a": value})).attributes == [("a", text)]
    assert log(attributes=key_values({"a": value})).attributes == {"a": value}


@pytest.mark.parametrize(("code", "status"), [(0, "unset"), (1, "ok"), ("2", "error"), (None, "unset"), (9, "error")])
def test_status_codes_have_names(code: Any, status: str) -> None:
    assert span(status={"code": code}).status == status


@pytest.mark.parametrize("end", ["0", 0, None])
def test_a_span_without_an_end_goes_on(end: Any) -> None:
    said = span(endTimeUnixNano=end)
    assert (said.pending, said.end_time_unix_nano) == (True, 0)


def test_a_span_does_not_end_before_it_began() -> None:
    assert span(endTimeUnixNano=1).end_time_unix_nano == NOW
    assert span(startTimeUnixNano="x").start_time_unix_nano == NOW + 50_000_000


def test_who_does_not_say_its_name_is_unknown() -> None:
    for frame in (spans_frame(wire_span(), service=None), logs_frame({}, service=None)):
        assert one(frame).service_name == "unknown"
    assert one(b'LOGS{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}').service_name == "unknown"


# -- logs and metrics


def test_a_log_is_read_as_it_was_said() -> None:
    said = log(
        timeUnixNano=str(NOW),
        severityNumber=17,
        severityText="ERROR",
        body=any_value("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x1b\\"),
        attributes=key_values({"deep": {"list": [1, "a", 2.5, True]}}),
        traceId=TRACE_ID,
        spanId="",
    )
    deep = {"deep": {"list": [1, "a", 2.5, True]}}
    resource = {"service.name": "billing"}
    assert said == Log(NOW, NOW, 17, "ERROR", "red link", deep, TRACE_ID, None, resource, "billing", "app", "")


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "TRACE"), (4, "TRACE"), (5, "DEBUG"), (9, "INFO"), ("12", "INFO"), (13, "WARN"), (17, "ERROR"), (24, "FATAL")],
)
def test_a_severity_without_its_name_gets_it_from_the_number(number: int | str, text: str) -> None:
    assert log(severityNumber=number).severity_text == text
    assert log(severityNumber=number, severityText="").severity_text == text
    assert log(severityNumber=number, severityText="Oh").severity_text == "Oh"


def test_a_log_that_says_nothing_of_its_severity_has_no_name_for_it() -> None:
    assert log().severity_text == log(severityNumber=0).severity_text == ""


def test_a_body_that_is_no_text_is_json() -> None:
    assert log(body=any_value({"a": 1, "password": "x"})).body == '{"a":1,"password":"[REDACTED]"}'


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"gauge": {}}, "gauge"),
        ({"sum": {"isMonotonic": True}}, "counter"),
        ({"sum": {"isMonotonic": False, "aggregationTemporality": 1}}, "updowncounter"),
    ],
)
def test_numbers_are_gauges_counters_and_updowncounters(members: dict[str, Any], kind: str) -> None:
    [data] = members.values()
    data["dataPoints"] = [
        {"asInt": "7", "timeUnixNano": str(NOW), "startTimeUnixNano": 5, "attributes": key_values({"worker.id": "w"})},
        {"asDouble": 0.5},
        {"asDouble": "NaN"},
        {},
    ]
    made = one(metrics_frame({"name": "m", "unit": "s", **members}))
    assert isinstance(made, Metric)
    assert (made.name, made.unit, made.metric_type, made.timestamp_unix_nano) == ("m", "s", kind, NOW)
    assert made.data_points == [NumberPoint(7.0, [("worker.id", "w")], NOW), NumberPoint(0.5, [], NOW)]
    assert (made.delta, made.started_unix_nano) == (kind == "updowncounter", 5)


def test_numbers_that_are_none_cost_their_point_and_nothing_else() -> None:
    """Python writes them bare by default."""
    strange = [{"asDouble": value} for value in (float("nan"), float("inf"), float("-inf"))]
    frame = metrics_frame(
        {"name": 'NaN, "Infinity"', "gauge": {"dataPoints": [*strange, {"asDouble": -1.5}]}},
        {"name": "h", "histogram": {"dataPoints": [{"count": 0, "min": float("inf"), "max": float("-inf")}]}},
    )
    assert b"NaN}" in frame
    gauge, histogram = read(frame)
    assert gauge.name == 'NaN, "Infinity"'
    assert [point.value for point in gauge.data_points] == [-1.5]
    assert (histogram.data_points[0].min, histogram.data_points[0].max) == (None, None)
    spans = read(spans_frame(wire_span(attributes=[{"key": "a", "value": {"doubleValue": float("nan")}}])))
    assert spans[0].attributes == [("a", "")]


@pytest.mark.parametrize("body", [b'{"a":NaN', b'{"a":Na}', b"NaN", b"-Infinity" * 1000, b'"' * 100_000 + b"NaN"])
def test_a_frame_that_is_none_is_none_with_such_numbers_too(body: bytes) -> None:
    with pytest.raises(BadFrame):
        records(b"MTRC" + body)


@given(st.recursive(st.floats() | st.text('NaInfity"-\\ ') | st.none() | st.booleans(), st.lists))
def test_of_what_python_writes_only_such_numbers_are_changed(value: Any) -> None:
    def expected(value: Any) -> Any:
        if isinstance(value, list):
            return [expected(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    written = memoryview(json.dumps(value).encode())
    assert json.loads(not_numbers.without(written) or bytes(written)) == expected(value)


def test_histograms_have_one_bucket_more_than_bounds() -> None:
    good = {"count": "3", "sum": 4.5, "bucketCounts": ["1", 2], "explicitBounds": [1], "min": 0.5, "max": 3}
    bad = {"count": 1, "bucketCounts": [1], "explicitBounds": [1, 2]}
    made = one(metrics_frame({"name": "h", "histogram": {"dataPoints": [good, bad]}}))
    assert made.data_points == [HistogramPoint(3, 4.5, [1, 2], [1.0], 0.5, 3.0, [], NOW)]


def test_metrics_of_other_kinds_are_left_out() -> None:
    assert read(metrics_frame({"name": "x", "summary": {"dataPoints": []}}, {"name": "m", "gauge": {}}))[0] is None


# -- limits


def test_what_one_record_may_hold_is_bounded() -> None:
    many = {f"key-{n}": "x" for n in range(1000)}
    event = {"name": "e" * 10**5, "attributes": key_values(many)}
    said = span(
        name="n" * 10**6, attributes=key_values(many | {"key-0": "t" * 10**6}), events=[event] * 1000, links=[{}] * 1000
    )
    assert len(said.attributes) == len(said.events[0].attributes) == MAX_ATTRIBUTES
    assert len(said.attributes[0][1]) == MAX_TEXT + 1
    assert len(said.events) == decode.MAX_EVENTS
    assert len(said.name) < 2000
    assert said.links == []
    assert len(log(body=any_value("x" * 10**6)).body) == MAX_TEXT + 1
    points = [{"asInt": 1}] * 5000
    assert len(one(metrics_frame({"name": "m", "gauge": {"dataPoints": points}})).data_points) == decode.MAX_POINTS


def test_of_a_frame_only_so_many_records_are_read() -> None:
    assert len(read(logs_frame(*([{}] * (decode.MAX_RECORDS + 10))))) == decode.MAX_RECORDS


# -- secrets


def test_secrets_are_redacted_wherever_they_are() -> None:
    payload = json.dumps({"user": {"Password": {"old": "hunter2"}}, "list": [{"api_key": "hunter2"}], "ok": 1})
    secrets = {"Authorization": "hunter2", "http.request.header.Set-Cookie": "hunter2", "deep": {"secret": "hunter2"}}
    attributes = key_values(secrets | {"iii.payload.json": payload, "plain": "shown"})
    said = span(attributes=attributes, events=[{"name": "iii.invocation.input", "attributes": attributes}])
    written = log(attributes=attributes, body=any_value([{"credential": "hunter2"}]))
    for record in (said, written, one(spans_frame(wire_span(links=[
        {"traceId": TRACE_ID, "spanId": SPAN_ID, "attributes": attributes}])))):  # fmt: skip
        text = msgspec.json.encode(record).decode()
        assert "hunter2" not in text
        assert "[REDACTED]" in text
    assert ("plain", "shown") in said.attributes
    assert json.loads(dict(said.events[0].attributes)["iii.payload.json"]) == {
        "user": {"Password": "[REDACTED]"},
        "list": [{"api_key": "[REDACTED]"}],
        "ok": 1,
    }


# -- what is not as it should be

BAD = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"resourceSpans":7,"resourceLogs":7,"resourceMetrics":7}',
    b'{"resourceSpans":[' * 3000,
    b'{"a":' + b"[" * 100_000,
]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_what_is_no_frame_is_refused_at_once(kind: bytes, body: bytes) -> None:
    with pytest.raises(BadFrame):
        records(kind + body)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("body", [b"{}", b'{"resourceSpans":null,"resourceLogs":[],"resourceMetrics":[{}],"x":1}'])
def test_an_empty_frame_is_no_trouble(kind: bytes, body: bytes) -> None:
    assert read(kind + body) == []


@pytest.mark.parametrize("depth", [10, 100, 200, 300, 400, 450, 500, 1000, 100_000])
def test_a_value_may_be_as_deep_as_can_be_read(depth: int) -> None:
    value = '{"arrayValue":{"values":[' * depth + '{"stringValue":"x"}' + "]}}" * depth
    said = json.dumps(wire_span(attributes=[{"key": "k", "value": "HERE"}])).replace('"HERE"', value)
    frame = spans_frame("HERE", wire_span()).replace(b'"HERE"', said.encode())
    try:
        deep, other = read(frame)
    except BadFrame:
        assert depth > 100
    else:
        assert deep is not None or depth > 100
        assert other is not None


MEMBERS = [*wire_span(), "flags", "code", "message", "key", "value", "values", "stringValue", "intValue", "doubleValue"]
MEMBERS += ["boolValue", "arrayValue", "kvlistValue", "bytesValue", "gauge", "sum", "histogram", "dataPoints", "asInt"]
MEMBERS += [
    "asDouble",
    "count",
    "bucketCounts",
    "explicitBounds",
    "min",
    "max",
    "body",
    "severityNumber",
    "timeUnixNano",
]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)  # which JSON does not know
    | st.text(max_size=20)
    | st.sampled_from([TRACE_ID, SPAN_ID, "0" * 32, str(NOW), "9" * 5000, "-1", "NaN", "1e999", "\x1b[", "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)


@given(
    kind=st.sampled_from(list(READERS)),
    base=st.sampled_from([{}, wire_span(), {"name": "m"}]),
    members=st.dictionaries(st.sampled_from(MEMBERS), anything, max_size=8),
)
def test_no_record_raises_and_none_is_larger_than_it_may_be(
    kind: bytes, base: dict[str, Any], members: dict[str, Any]
) -> None:
    make = {b"OTLP": spans_frame, b"LOGS": logs_frame, b"MTRC": metrics_frame}[kind]
    for record in read(make(base | members)):
        if record is not None:
            msgspec.msgpack.encode(record)


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 255))
def test_no_bytes_raise(noise: bytes, at: int, byte: int) -> None:
    good = bytearray(spans_frame(wire_span(attributes=key_values({"a": [1, {"b": "c"}]}))))
    good[4 + at % (len(good) - 4)] = byte
    for frame in (bytes(good), b"OTLP" + noise, b"MTRC" + noise, b"LOGS" + noise):
        found: list[Record] = []
        try:
            found = list(records(frame))
        except BadFrame:
            continue
        for record in found:
            READERS[frame[:4]](*record, NOW)
