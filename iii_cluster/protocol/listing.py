"""One function as listings and events describe it: members of older and newer clients' shapes together."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

_NULL = Raw(b"null")


class Definition(Struct):
    """What a function was registered with; schemas and metadata stay as they are."""

    description: str | None = None
    request_format: Raw = _NULL
    response_format: Raw = _NULL
    metadata: Raw = _NULL


class FunctionRow(Struct):
    function_id: str
    namespace: str
    worker_name: str
    description: str | None = None
    request_format: Raw = _NULL
    response_format: Raw = _NULL
    metadata: Raw = _NULL
    worker_ids: list[str] = []


class _NamedFormat(Struct):
    """What the oldest clients insist on: a described value, not a JSON Schema."""

    name: str


_decode_definition = msgspec.json.Decoder(Definition).decode
_decode_named = msgspec.json.Decoder(_NamedFormat).decode


def function_row(row: Mapping[str, Any], names: Mapping[str, str], *, oldest_formats: bool) -> FunctionRow:
    """From a shard's row; `names` has the names of announced workers by id.

    With `oldest_formats`, formats that make the oldest clients refuse the whole listing are left out.
    """
    definition = _decode_definition(row["definition"] or b"{}")
    owners = row["owners"]
    keep = _oldest if oldest_formats else _as_is
    return FunctionRow(
        row["id"],
        row["namespace"],
        next((names[owner] for owner in owners if owner in names), first_segment(row["id"])),
        definition.description,
        keep(definition.request_format),
        keep(definition.response_format),
        definition.metadata,
        owners,
    )


def first_segment(name: str) -> str:
    return name.partition("::")[0]


def _as_is(given: Raw) -> Raw:
    return given


def _oldest(given: Raw) -> Raw:
    try:
        _decode_named(given)
    except msgspec.MsgspecError:
        return _NULL
    return given
