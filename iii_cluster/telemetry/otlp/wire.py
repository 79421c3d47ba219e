"""OTLP/JSON as workers send it, as far as it is read: numbers may be strings, most things may be missing. Pure."""

from __future__ import annotations

from msgspec import Raw, Struct

Number = int | float | str | None


class Wire(Struct, rename="camel", gc=False):
    """Base: unknown members are ignored."""


class Array(Wire):
    values: list[AnyValue] | None = None


class KeyValues(Wire):
    values: list[KeyValue] | None = None


class AnyValue(Wire):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number = None
    double_value: Number = None
    array_value: Array | None = None
    kvlist_value: KeyValues | None = None
    bytes_value: str | None = None


class KeyValue(Wire):
    key: str
    value: AnyValue | None = None


class Resource(Wire):
    attributes: list[KeyValue] | None = None


class Scope(Wire):
    name: str | None = None
    version: str | None = None


class WireEvent(Wire):
    name: str | None = None
    time_unix_nano: Number = None
    attributes: list[KeyValue] | None = None


class WireLink(Wire):
    trace_id: str = ""
    span_id: str = ""
    trace_state: str | None = None
    attributes: list[KeyValue] | None = None


class WireStatus(Wire):
    code: Number = None
    message: str | None = None


class WireSpan(Wire):
    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    name: str | None = None
    kind: Number = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    attributes: list[KeyValue] | None = None
    events: list[WireEvent] | None = None
    links: list[WireLink] | None = None
    status: WireStatus | None = None
    flags: Number = None
    trace_state: str | None = None


class WireLog(Wire):
    time_unix_nano: Number = None
    observed_time_unix_nano: Number = None
    severity_number: Number = None
    severity_text: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    trace_id: str | None = None
    span_id: str | None = None


class WirePoint(Wire):
    """Of a gauge, a sum or a histogram."""

    as_double: Number = None
    as_int: Number = None
    start_time_unix_nano: Number = None
    time_unix_nano: Number = None
    attributes: list[KeyValue] | None = None
    count: Number = None
    sum: Number = None
    bucket_counts: list[Number] | None = None
    explicit_bounds: list[Number] | None = None
    min: Number = None
    max: Number = None


class Data(Wire):
    data_points: list[WirePoint] | None = None
    is_monotonic: bool | None = None
    aggregation_temporality: Number = None


class WireMetric(Wire):
    name: str
    description: str | None = None
    unit: str | None = None
    gauge: Data | None = None
    sum: Data | None = None
    histogram: Data | None = None


# -- frames: their records are read one by one


class ScopeSpans(Wire):
    scope: Scope | None = None
    spans: list[Raw] | None = None


class ResourceSpans(Wire):
    resource: Resource | None = None
    scope_spans: list[ScopeSpans] | None = None


class SpansFrame(Wire):
    resource_spans: list[ResourceSpans] | None = None


class ScopeLogs(Wire):
    scope: Scope | None = None
    log_records: list[Raw] | None = None


class ResourceLogs(Wire):
    resource: Resource | None = None
    scope_logs: list[ScopeLogs] | None = None


class LogsFrame(Wire):
    resource_logs: list[ResourceLogs] | None = None


class ScopeMetrics(Wire):
    scope: Scope | None = None
    metrics: list[Raw] | None = None


class ResourceMetrics(Wire):
    resource: Resource | None = None
    scope_metrics: list[ScopeMetrics] | None = None


class MetricsFrame(Wire):
    resource_metrics: list[ResourceMetrics] | None = None
