"""Operations applied to stored JSON."""

from collections.abc import Sequence

import msgspec

from iii_cluster.protocol.payload import BadPayload, check_text

from .apply import MISSING, apply
from .ops import Op, OpError

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class BadUpdate(ValueError):
    """The stored value cannot be read, or the new one cannot be stored."""


def updated(stored: bytes | None, ops: Sequence[Op], max_bytes: int) -> tuple[bytes, list[OpError]]:
    """The new value as compact JSON, and the errors of skipped operations. None: nothing is stored."""
    try:
        value = MISSING if stored is None else _decode(stored)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadUpdate(f"the stored value cannot be read: {error}") from None
    new, errors = apply(value, ops)
    text = _encode(new)
    if len(text) > max_bytes:
        raise BadUpdate(f"the new value would have {len(text)} bytes, more than {max_bytes}")
    try:
        check_text(text)
    except BadPayload as error:
        raise BadUpdate(f"the new value would be {error}") from None
    return text, errors
