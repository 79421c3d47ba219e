"""What of a call's input is for workers only. Pure."""

import msgspec
from msgspec import Raw, Struct

from iii_cluster.modules.http_functions.failures import REQUEST_FAILED
from iii_cluster.protocol.errors import EngineError

_CALLER = "_caller_worker_id"
_CHANNELS = ("request_body", "response")  # of an HTTP route's request
_MARKS = (_CALLER.encode(), b'"access_key"')  # without any of them there is nothing to take out


class _Reference(Struct):
    """Whoever has one can read, or write, the channel."""

    channel_id: str
    access_key: str


_members = msgspec.json.Decoder(dict[str, Raw]).decode
_reference = msgspec.json.Decoder(_Reference).decode


def for_outside(data: bytes) -> bytes:
    """JSON without the id of the calling worker and without the keys of an HTTP request's channels, which would let
    others answer in the place of the function. Raises EngineError."""
    if data[:1] != b"{" or not any(mark in data for mark in _MARKS):
        return data
    try:
        members = _members(data)
    except (msgspec.MsgspecError, RecursionError):
        raise EngineError(REQUEST_FAILED, "the input cannot be read") from None
    members.pop(_CALLER, None)
    for name in _CHANNELS:
        if name in members and _is_reference(members[name]):
            del members[name]
    return msgspec.json.encode(members)


def _is_reference(member: Raw) -> bool:
    try:
        _reference(member)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
