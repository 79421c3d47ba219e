"""The trace context of a job, on its way from who sent it to who handles it. Pure."""

from urllib.parse import quote

import msgspec
from msgspec import Raw

from iii_cluster.telemetry.context import FUNCTION_MEMBER

STRIPPED = frozenset({"iii.tag.kind", "iii.tag.display_name", "iii.tag.hidden"})  # about the sender only


def text(raw: Raw) -> bytes:
    """A JSON string as it is, anything else as nothing."""
    body = bytes(raw)
    return body if body.startswith(b'"') else b""


def baggage_for(function: str, baggage: bytes) -> bytes:
    """The baggage (JSON string, quotes included) that a job carries; `function` "" is not known yet."""
    if not baggage:
        return b""
    try:
        said = msgspec.json.decode(baggage, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # a client may send anything
        return b""
    members = [member.strip() for member in said.split(",") if member.strip()]
    kept = []
    for member in members:
        key = member.partition("=")[0].strip()
        if key == FUNCTION_MEMBER and function:
            kept.append(f"{FUNCTION_MEMBER}={quote(function, safe=':')}")
        elif key not in STRIPPED:
            kept.append(member)
    return msgspec.json.encode(",".join(kept)) if kept else b""
