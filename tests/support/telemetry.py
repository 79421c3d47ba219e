"""Spans, logs and metrics, and the frames workers send them in."""

import json
import time
from typing import Any

from iii_cluster.telemetry.records import Kind, Log, Metric, NumberPoint, Span

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
NOW = 1_760_000_000_000_000_000  # ns


def trace_id(number: int) -> str:
    """Spread evenly, as random ones are."""
    return f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def span(
    number: int = 0, trace: str = TRACE_ID, *, pending: bool = False, text: str = "", name: str = "call a::b"
) -> Span:
    """Of the present time."""
    end = 0 if pending else time.time_ns()
    attributes = [("function_id", "a::b"), ("text", text)]
    made = Span(trace, f"{number + 1:016x}", None, name, time.time_ns(), end, "unset", attributes, "test")
    made.pending = pending
    made.kind = Kind.SERVER
    made.resource = {"service.name": "test"}
    return made


def log(body: str = "hello", at: int | None = None) -> Log:
    """Of the present time, or of `at`, ns."""
    now = time.time_ns()
    return Log(now if at is None else at, now, 9, "INFO", body, {"n": 1}, None, None, {}, "test")


def metric(points: int = 1, name: str = "m", at: int | None = None) -> Metric:
    """A gauge."""
    now = time.time_ns() if at is None else at
    return Metric(name, "", "1", "gauge", [NumberPoint(float(n), [], now) for n in range(points)], "test", now)


def any_value(value: Any) -> dict[str, Any]:
    """As OTLP/JSON says it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(each) for each in value]}}
    return {"kvlistValue": {"values": key_values(value)}}


def key_values(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def wire_span(**members: Any) -> dict[str, Any]:
    """One that ended; `members` are as on the wire."""
    said = {"traceId": TRACE_ID, "spanId": SPAN_ID, "parentSpanId": "", "name": "execute billing::charge", "kind": 1}
    times = {"startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW + 50_000_000)}
    return said | times | {"attributes": [], "events": [], "links": [], "status": {"code": 1}} | members


def spans_frame(*spans: Any, service: str | None = "billing") -> bytes:
    scopes = [{"scope": {"name": "app", "version": ""}, "spans": list(spans)}]
    return b"OTLP" + json.dumps({"resourceSpans": [{"resource": _resource(service), "scopeSpans": scopes}]}).encode()


def logs_frame(*logs: Any, service: str | None = "billing") -> bytes:
    scopes = [{"scope": {"name": "app", "version": ""}, "logRecords": list(logs)}]
    return b"LOGS" + json.dumps({"resourceLogs": [{"resource": _resource(service), "scopeLogs": scopes}]}).encode()


def metrics_frame(*metrics: Any, service: str | None = "billing") -> bytes:
    scopes = [{"scope": {"name": "app", "version": ""}, "metrics": list(metrics)}]
    told = {"resourceMetrics": [{"resource": _resource(service), "scopeMetrics": scopes}]}
    return b"MTRC" + json.dumps(told).encode()


def _resource(service: str | None) -> dict[str, Any]:
    return {"attributes": key_values({} if service is None else {"service.name": service})}
