"""The metadata of a function, as watchers compare it."""

import msgspec
from msgspec import Raw, Struct

MAX_METADATA = 16 * 2**10  # bytes; larger counts as none


class _Definition(Struct):
    metadata: Raw = Raw(b"")


_decode = msgspec.json.Decoder(_Definition).decode
_read = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder(order="deterministic").encode


def metadata_of(definition: bytes) -> bytes:
    """The member `metadata`, the same bytes for the same value; empty if it is missing, null, or cannot be told."""
    if b'"metadata"' not in definition:
        return b""
    try:
        raw = bytes(_decode(definition).metadata)
        metadata = _write(_read(raw)) if 0 < len(raw) <= MAX_METADATA else b""
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return b""
    return b"" if metadata == b"null" or len(metadata) > MAX_METADATA else metadata
