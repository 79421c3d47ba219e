"""What the functions take."""

from typing import Annotated, Any

from msgspec import Meta, Struct

Natural = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Pair = tuple[str, str | int | float | bool | None]

MAX_IDS = 1000  # of one question


class Nothing(Struct):
    """Any object."""


class WriteLog(Struct):
    message: str
    data: Any = None
    trace_id: str | None = None
    span_id: str | None = None
    service_name: str | None = None


class ListLogs(Struct):
    """Times are milliseconds. Without `limit`, all."""

    start_time: Natural | None = None
    end_time: Natural | None = None
    trace_id: str | None = None
    span_id: str | None = None
    severity_min: int | None = None
    severity_text: str | None = None
    offset: Natural | None = None
    limit: Natural | None = None


class ListTraces(Struct):
    """Names, services and statuses are searched for, whatever their case."""

    trace_id: str | None = None
    trace_ids: Annotated[list[str], Meta(max_length=MAX_IDS)] | None = None
    offset: Natural | None = None
    limit: Natural | None = None
    service_name: str | None = None
    name: str | None = None
    status: str | None = None
    min_duration_ms: Amount | None = None
    max_duration_ms: Amount | None = None
    start_time: Natural | None = None
    end_time: Natural | None = None
    sort_by: str | None = None
    sort_order: str | None = None
    attributes: list[Pair] | None = None
    exclude_attributes: list[Pair] | None = None
    include_internal: bool | None = None
    search_all_spans: bool | None = None

    @property
    def traces(self) -> list[str] | None:
        """Ids of the traces asked for, None for all."""
        if self.trace_id is None:
            return self.trace_ids
        return [self.trace_id] if self.trace_ids is None or self.trace_id in self.trace_ids else []


class Tree(Struct):
    trace_id: str


class GroupTraces(Struct):
    attribute: str
    since_ms: Natural | None = None
    limit: Natural | None = None
    include_internal: bool | None = None
    label_attribute: str | None = None


class ListMetrics(Struct):
    """Times are milliseconds, the interval seconds."""

    start_time: Natural | None = None
    end_time: Natural | None = None
    metric_name: str | None = None
    aggregate_interval: Natural | None = None


class ListRollups(Struct):
    start_time: Natural | None = None
    end_time: Natural | None = None
    level: Annotated[int, Meta(ge=0, le=2)] | None = None
    metric_name: str | None = None


class BaggageKey(Struct):
    key: str


class BaggageItem(BaggageKey):
    value: Any


def text_of(value: object) -> str:
    """As attributes of spans are kept."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def pairs(given: list[Pair] | None) -> frozenset[tuple[str, str]]:
    return frozenset((key, text_of(value)) for key, value in given or ())
