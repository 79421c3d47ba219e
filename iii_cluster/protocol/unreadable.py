"""Whom to answer when a frame cannot be read: somebody waits for the end of the call it is about."""

import re
from typing import NamedTuple

# Ids stand beside what makes a frame long and unreadable, so it is enough to look at its beginning and its end, bytes.
_WINDOW = 16 * 2**10

_BEFORE_NESTED = re.compile(rb'\s*+\{(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_MEMBER = re.compile(rb'[{,\s]"(type|invocation_id|function_id)"\s*+:\s*+"([^"\\]{1,4096})"')


class About(NamedTuple):
    """Members that are no text, or were not found, are empty."""

    type: str
    invocation_id: str
    function_id: str


def about(text: bytes) -> About:
    """What the frame itself says it is about; nothing that is inside other values counts."""
    found: dict[str, str] = {}
    for part in (_head(text[:_WINDOW]), _tail(text[-_WINDOW:])):
        for name, value in _MEMBER.findall(part):
            found.setdefault(name.decode(), value.decode(errors="replace"))
    return About(found.get("type", ""), found.get("invocation_id", ""), found.get("function_id", ""))


def _head(text: bytes) -> bytes:
    """Up to the first object or list."""
    flat = _BEFORE_NESTED.match(text)
    return flat[0] if flat else b""


def _tail(text: bytes) -> bytes:
    """What follows the last object or list."""
    end = text.rstrip().removesuffix(b"}")
    return end[max(end.rfind(b"]"), end.rfind(b"}")) + 1 :]
