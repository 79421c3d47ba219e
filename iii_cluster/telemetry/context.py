"""W3C trace context as it travels with a call: `traceparent` and `baggage` as JSON strings in bytes. Pure."""

import re
from typing import NamedTuple
from urllib.parse import quote

import msgspec

Trace = tuple[bytes, bytes]  # traceparent and baggage, JSON strings or empty
NO_TRACE: Trace = (b"", b"")

FUNCTION_MEMBER = "iii.function.id"  # of the baggage: the function that is being called
_MEMBER = FUNCTION_MEMBER.encode()

# Of a traceparent of version 00, quotes included.
_LENGTH = 57
_FLAGS = 55  # where its lower digit is
_EVEN = b"02468ace"

# Versions after 00 may have more at the end.
_TRACEPARENT = re.compile(
    rb'"(?:00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})'
    rb"|(?!ff|00)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[\x21-\x7e]*)?)\""
)


class Parent(NamedTuple):
    """The span that a traceparent names."""

    trace_id: str
    span_id: str
    sampled: bool
    random: bool = False  # the trace id is; whoever continues the trace says so, too


def parent_of(traceparent: bytes) -> Parent | None:
    """None: there is none, or it is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = found.group(1, 2, 3) if found[1] is not None else found.group(4, 5, 6)
    bits = int(flags, 16)
    return Parent(trace_id.decode(), span_id.decode(), bool(bits & 1), bool(bits & 2))


def left_out(traceparent: bytes) -> bool:
    """Whether it is one of today's that says "not sampled". Quick; of others `parent_of` knows."""
    return len(traceparent) == _LENGTH and traceparent[_FLAGS] in _EVEN


def ids_of(traceparent: bytes) -> tuple[str, str]:
    """Trace id and span id, for log lines; empty when there are none."""
    parent = parent_of(traceparent)
    return (parent.trace_id, parent.span_id) if parent is not None else ("", "")


def for_function(baggage: bytes, function: str) -> bytes:
    """The baggage of a call of `function`: if it says which function is called, it says this one."""
    if _MEMBER not in baggage:
        return baggage
    try:
        said = msgspec.json.decode(baggage, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return baggage
    members = said.split(",")
    for at, member in enumerate(members):
        if member.partition("=")[0].strip() == FUNCTION_MEMBER:
            members[at] = f"{FUNCTION_MEMBER}={quote(function, safe=':')}"
    return msgspec.json.encode(",".join(members))
