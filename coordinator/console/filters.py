"""What may be asked of each topic: in a query as text, in a frame of a live socket as JSON. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from iii_cluster.config.settings import Count

from .failure import bad_request

Page = Annotated[int, Meta(ge=0, le=1000)]
Name = Annotated[str, Meta(max_length=4096)]


class NoFilter(Struct, forbid_unknown_fields=True):
    pass


class Functions(Struct, forbid_unknown_fields=True):
    internal: bool = False
    search: Name | None = None


class Triggers(Struct, forbid_unknown_fields=True):
    internal: bool = False
    search: Name | None = None
    trigger_type: Name | None = None


class Function(Struct, forbid_unknown_fields=True):
    namespace: Name
    id: Name


class ById(Struct, forbid_unknown_fields=True):
    id: Name


class Queue(Struct, forbid_unknown_fields=True):
    name: Name


class Dead(Struct, forbid_unknown_fields=True):
    name: Name
    offset: Count = 0
    limit: Page = 50


class Stream(Struct, forbid_unknown_fields=True):
    stream: Name
    group: Name


class Scope(Struct, forbid_unknown_fields=True):
    scope: Name


class Key(Struct, forbid_unknown_fields=True):
    scope: Name
    key: Name


class Trace(Struct, forbid_unknown_fields=True):
    trace_id: Name


class Traces(Struct, forbid_unknown_fields=True, kw_only=True):
    """As `engine::traces::summaries` takes them, and `function_id` of any span of the trace."""

    limit: Page = 100
    offset: Count = 0
    sort_order: str = "desc"
    sort_by: Name | None = None
    service_name: Name | None = None
    name: Name | None = None
    status: Name | None = None
    min_duration_ms: float | None = None
    max_duration_ms: float | None = None
    start_time: int | None = None
    end_time: int | None = None
    function_id: Name | None = None
    include_internal: bool = False


class TraceGroups(Struct, forbid_unknown_fields=True):
    attribute: Name
    since_ms: int | None = None
    limit: Page = 100
    label_attribute: Name | None = None
    include_internal: bool = False


class Logs(Struct, forbid_unknown_fields=True, kw_only=True):
    """As `engine::logs::list` takes them."""

    limit: Page = 200
    offset: Count = 0
    trace_id: Name | None = None
    span_id: Name | None = None
    severity_min: int | None = None
    severity_text: Name | None = None
    start_time: int | None = None
    end_time: int | None = None


class Rollups(Struct, forbid_unknown_fields=True, kw_only=True):
    level: Annotated[int, Meta(ge=0, le=2)] = 0
    metric_name: Name | None = None
    start_time: int | None = None
    end_time: int | None = None


F = TypeVar("F", bound=Struct)


def read_filter(kind: type[F], said: Mapping[str, Any]) -> F:
    """Raises Failure. Empty text counts as nothing said."""
    given = {name: value for name, value in said.items() if value not in ("", None)}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise bad_request(str(error)) from None


def as_input(asked: Struct) -> bytes:
    """The input of the function that is asked, JSON."""
    said = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
    if said.pop("internal", False):
        said["include_internal"] = True
    function = said.pop("function_id", None)
    if function is not None:
        said["attributes"] = [["function_id", function]]
    return msgspec.json.encode(said)
