"""Numbers, ids, texts and attributes of OTLP/JSON, within limits. Pure."""

import math
import re
from typing import Any

import msgspec

from ..records import Attributes
from ..redaction import PAYLOAD, REDACTED, is_secret, redact, redact_json, redact_text
from ..texts import cut
from .wire import AnyValue, KeyValue, Number

MAX_ATTRIBUTES = 128  # of one span, event, log or resource
MAX_TEXT = 32 * 2**10  # characters of a value
MAX_NAME = 1024  # characters of a name or a key
LATEST = 2**63 - 1  # ns since the epoch

_TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}")
_SPAN_ID = re.compile("(?!0{16})[0-9a-f]{16}")
# Of ECMA-48, and the titles and links that terminals know.
_COLOUR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


def name_of(said: str | None) -> str:
    return "" if said is None else cut(said, MAX_NAME)


def trace_id_of(said: str | None) -> str | None:
    """None: not one."""
    text = (said or "").lower()
    return text if _TRACE_ID.fullmatch(text) is not None else None


def span_id_of(said: str | None) -> str | None:
    """None: not one."""
    text = (said or "").lower()
    return text if _SPAN_ID.fullmatch(text) is not None else None


def integer(said: Number, least: int = 0, most: int = LATEST) -> int:
    """Within the bounds; 0, or what is nearest to it, when it is no number."""
    try:
        value = int(said or 0)
    except (ValueError, OverflowError):
        try:
            value = int(float(said or 0))
        except (ValueError, OverflowError):
            value = 0
    return min(max(value, least), most)


def number(said: Number) -> float | None:
    """None: it is none, or not finite."""
    if said is None:
        return None
    try:
        value = float(said)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def without_colours(text: str) -> str:
    """Without what tells terminals to do something."""
    return _COLOUR.sub("", text) if "\x1b" in text else text


def plain(value: AnyValue | None) -> Any:
    """As JSON has it. Raises RecursionError when it is too deep."""
    if value is None:
        return None
    if value.string_value is not None:
        return cut(value.string_value, MAX_TEXT)
    if value.int_value is not None:
        return integer(value.int_value, -(2**63))
    if value.double_value is not None:
        return number(value.double_value)
    if value.bool_value is not None:
        return value.bool_value
    if value.array_value is not None:
        return [plain(each) for each in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return {cut(each.key, MAX_NAME): plain(each.value) for each in value.kvlist_value.values or ()}
    return value.bytes_value and cut(value.bytes_value, MAX_TEXT)


def shown(text: str, most: int) -> str:
    """Without secrets, at most so many characters."""
    return cut(redact_text(text[: 2 * most]), most)


def text_of(value: AnyValue | None) -> str:
    """Flattened: lists and objects are JSON, without their secrets."""
    if value is None:
        return ""
    if value.string_value is not None:
        return shown(value.string_value, MAX_TEXT)
    if value.bool_value is not None:
        return "true" if value.bool_value else "false"
    if value.double_value is not None and (numeric := number(value.double_value)) is None:
        return cut(str(value.double_value), MAX_NAME)
    if value.double_value is not None:
        return repr(numeric)
    known = plain(value)
    if isinstance(known, (list, dict)):
        return cut(msgspec.json.encode(redact(known)).decode(), MAX_TEXT)
    return "" if known is None else str(known)


def flat(said: list[KeyValue] | None) -> Attributes:
    """Attributes of spans and of points: all texts, no secrets."""
    if not said:
        return []
    attributes: Attributes = []
    for each in said[:MAX_ATTRIBUTES]:
        key = each.key
        if is_secret(key):
            attributes.append((key, REDACTED))
        elif key == PAYLOAD and each.value is not None:
            attributes.append((key, _payload(each.value)))
        else:
            attributes.append((key if len(key) <= MAX_NAME else cut(key, MAX_NAME), text_of(each.value)))
    return attributes


def _payload(value: AnyValue) -> str:
    text = value.string_value
    return text_of(value) if text is None else cut(redact_json(text), MAX_TEXT)


def typed(said: list[KeyValue] | None) -> dict[str, Any]:
    """Attributes of logs and resources: as JSON has them, no secrets."""
    attributes: dict[str, Any] = {}
    for each in (said or [])[:MAX_ATTRIBUTES]:
        if is_secret(each.key):
            attributes[each.key] = REDACTED
        elif each.key == PAYLOAD and each.value is not None:
            attributes[each.key] = _payload(each.value)
        else:
            attributes[cut(each.key, MAX_NAME)] = redact(plain(each.value))
    return attributes
