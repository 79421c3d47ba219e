"""Telemetry as it is kept, and as functions, triggers and the console show it. Pure.

Times are nanoseconds since the epoch, ids lower-case hex, never all zeros. There are many of them at times, and never
in cycles: the garbage collector need not know.
"""

from enum import IntEnum
from typing import Any

from msgspec import Struct, field

Attributes = list[tuple[str, str]]


class Kind(IntEnum):
    """Of a span, as OpenTelemetry numbers them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Event(Struct, frozen=True, gc=False):
    """Something that happened during a span."""

    name: str
    timestamp_unix_nano: int
    attributes: Attributes = []


class Link(Struct, frozen=True, gc=False):
    """Another span that this one has to do with."""

    trace_id: str
    span_id: str
    trace_state: str = ""
    attributes: Attributes = []


class Span(Struct, omit_defaults=True, gc=False):
    """One piece of work. `end_time_unix_nano` 0: it still goes on."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    status: str  # ok, error or unset
    attributes: Attributes
    service_name: str
    status_description: str | None = None
    events: list[Event] = []
    links: list[Link] = []
    instrumentation_scope_name: str | None = None
    instrumentation_scope_version: str | None = None
    flags: int | None = None
    trace_state: str | None = None
    pending: bool = False
    kind: int = Kind.INTERNAL  # for collectors; functions do not show it
    resource: dict[str, Any] = field(default_factory=dict)  # likewise


class Log(Struct, gc=False):
    """One log record."""

    timestamp_unix_nano: int
    observed_timestamp_unix_nano: int
    severity_number: int  # 1-24
    severity_text: str
    body: str
    attributes: dict[str, Any]
    trace_id: str | None
    span_id: str | None
    resource: dict[str, Any]
    service_name: str
    instrumentation_scope_name: str | None = None
    instrumentation_scope_version: str | None = None


class NumberPoint(Struct, gc=False):
    value: float
    attributes: Attributes
    timestamp_unix_nano: int


class HistogramPoint(Struct, gc=False):
    """`bucket_counts` has one more than `explicit_bounds`."""

    count: int
    sum: float
    bucket_counts: list[int]
    explicit_bounds: list[float]
    min: float | None
    max: float | None
    attributes: Attributes
    timestamp_unix_nano: int


class Metric(Struct, gc=False):
    """What a worker measured, with its points at one time."""

    name: str
    description: str
    unit: str
    metric_type: str  # counter, gauge, histogram or updowncounter
    data_points: list[NumberPoint | HistogramPoint]
    service_name: str
    timestamp_unix_nano: int  # when it was received
    instrumentation_scope_name: str | None = None
    instrumentation_scope_version: str | None = None
    resource: dict[str, Any] = field(default_factory=dict)  # for collectors; functions do not show it
    delta: bool = False  # likewise: points say what came since the last ones, not since `started_unix_nano`
    started_unix_nano: int = 0  # likewise; 0: not known
