"""What is refused before anything is touched. Pure."""

from typing import Any

from .failure import Failed, kind_of, shown
from .ops import Merge, Op

MAX_SEGMENTS = 32
MAX_SEGMENT = 256  # bytes
MAX_MERGE_KEYS = 1024
MAX_MERGE_DEPTH = 16  # a scalar is 0, a container one more than its deepest child
RESERVED = frozenset({"__proto__", "constructor", "prototype"})  # where JavaScript keeps what all objects share


def segments_of(op: Op) -> list[str]:
    """The operation's path as keys from the root, checked."""
    path = op.path
    if path is None or path == "":
        return []
    if isinstance(path, str):
        segments = [path]
    else:
        segments = path
        if len(segments) > MAX_SEGMENTS:
            raise Failed("path.too_deep", f"the path has {len(segments)} segments, more than {MAX_SEGMENTS}")
        if "" in segments:
            raise Failed("path.empty_segment", f"path {shown(segments)} has an empty segment")
    for segment in segments:
        if len(segment) > MAX_SEGMENT or len(segment.encode()) > MAX_SEGMENT:
            raise Failed("path.segment_too_long", f"the path has a segment of more than {MAX_SEGMENT} bytes")
        if segment in RESERVED:
            raise Failed("path.proto_polluted", f"path {shown(segments)} has the reserved segment '{segment}'")
    return segments


def check_merge_value(value: Any, segments: list[str]) -> None:
    where = f"the value merged at path {shown(segments)}"
    if not isinstance(value, dict):
        raise Failed("value.not_an_object", f"{where} is {kind_of(value)}, not an object")
    if len(value) > MAX_MERGE_KEYS:
        raise Failed("value.too_many_keys", f"{where} has {len(value)} keys, more than {MAX_MERGE_KEYS}")
    for name in value:
        if name in RESERVED:
            raise Failed("value.proto_polluted", f"{where} has the reserved key '{name}'")
    if _deeper(value, MAX_MERGE_DEPTH):
        raise Failed("value.too_deep", f"{where} is nested deeper than {MAX_MERGE_DEPTH}")


def _deeper(value: Any, limit: int) -> bool:
    if isinstance(value, dict):
        children = value.values()
    elif isinstance(value, list):
        children = value  # type: ignore[assignment]
    else:
        return False
    return limit == 0 or any(_deeper(child, limit - 1) for child in children)


def check(op: Op) -> list[str]:
    """The operation's path, when nothing speaks against the operation itself."""
    segments = segments_of(op)
    if isinstance(op, Merge):
        check_merge_value(op.value, segments)
    return segments
