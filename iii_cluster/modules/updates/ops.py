"""The operations, as they come in a call. Decoding them is checking them."""

from typing import Annotated, Any

from msgspec import Meta, Struct

Path = str | list[str] | None  # None, "" and []: the root; a string is one segment, dots and all
By = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float


class Set(Struct, tag_field="type", tag="set"):
    path: str
    value: Any = None


class Merge(Struct, tag_field="type", tag="merge"):
    value: Any
    path: Path = None


class Increment(Struct, tag_field="type", tag="increment"):
    path: str
    by: By


class Decrement(Struct, tag_field="type", tag="decrement"):
    path: str
    by: By


class Append(Struct, tag_field="type", tag="append"):
    value: Any
    path: Path = None


class Remove(Struct, tag_field="type", tag="remove"):
    path: str


Op = Set | Merge | Increment | Decrement | Append | Remove


class OpError(Struct):
    """Of an operation that was skipped. `code` is "<op>.<what>"."""

    op_index: int
    code: str
    message: str
    doc_url: str
