"""Checks and edits on raw JSON payloads, without decoding them."""

import re
from array import array
from itertools import accumulate

MAX_DEPTH = 128
# Counting them takes 25 ns each, and everybody else waits.
MAX_BRACKETS = 8 * 2**20

_NOT_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one deeper, one back

_LONE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")  # first half of a pair without the second
_AT = re.compile(r"\(byte (\d+)\)$")
_PAIR = 12  # bytes of a pair


class BadPayload(ValueError):
    """The frame would break the client that receives it."""


def check_text(text: bytes) -> None:
    """Refuse what a strict reader chokes on but a raw pass-through would forward.

    Raises BadPayload for invalid UTF-8 (the receiver would close its connection) and for nesting deeper
    than 128 (the receiver's parser would overflow).
    """
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise BadPayload(f"invalid UTF-8 at byte {error.start}") from None
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _deeper_than(text, MAX_DEPTH):
        raise BadPayload(f"nested deeper than {MAX_DEPTH}")


def why_unreadable(text: bytes, error: Exception) -> str:
    """What a parser said of a frame; where it expected the second half of a surrogate pair, in better words."""
    said, end = str(error), text.rstrip()
    if at := _AT.search(said):
        place = int(at[1])
        lone = "escape" in said and _LONE.fullmatch(text, max(0, place - _PAIR // 2), place)
    else:  # the second half would go beyond the end of the frame
        lone = "truncated" in said and end.endswith(b"}") and _LONE.search(end, max(0, len(end) - 2 * _PAIR))
    return "a lone surrogate (\\ud800 to \\udfff) in a text" if lone else said


def _deeper_than(text: bytes, limit: int) -> bool:
    """True when brackets outside strings nest deeper than `limit`, 8 or more. Linear, mostly at the speed of a copy."""
    brackets = _brackets(text)
    rest = brackets
    for _ in range(4):  # ordinary data is flat: a round takes out one level, or two, and soon nothing is left
        rest = rest.replace(b"[]", b"").replace(b"{}", b"")
    if not rest:
        return False
    if len(brackets) > MAX_BRACKETS:
        raise BadPayload(f"more than {MAX_BRACKETS} brackets")
    return max(accumulate(array("b", brackets.translate(_STEPS)))) > limit


def _brackets(text: bytes) -> bytes:
    """The brackets of a JSON text that are not inside strings."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes with no bracket between can go: what is inside or outside a string stays so.
    marks = text.translate(None, _NOT_MARKS).replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2])


def caller_suffix(worker_id: str) -> bytes:
    """What `with_caller` appends for calls of this worker."""
    return b'"_caller_worker_id":"' + worker_id.encode() + b'"}'


def with_caller(data: bytes, suffix: bytes) -> bytes:
    """Add the caller's id to an object as its last key, which wins over an earlier one in every JSON reader.

    Anything but an object comes back untouched; so does an empty payload, as `null`.
    """
    if not data:
        return b"null"
    if data[0] != 0x7B:  # {
        return data
    body = data[:-1].rstrip(b" \t\r\n")
    return body + suffix if len(body) == 1 else body + b"," + suffix
