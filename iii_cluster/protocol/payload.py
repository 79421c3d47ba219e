"""Checks and edits on raw JSON payloads, without decoding them."""

import re

MAX_DEPTH = 128

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


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


def _deeper_than(text: bytes, limit: int) -> bool:
    """True when brackets outside strings nest deeper than `limit`.

    Each round removes the innermost pairs, at C speed; ordinary data is flat after a few rounds.
    """
    rest = _STRING.sub(b"", text).translate(None, _NOT_BRACKETS)
    for _ in range(limit):
        shorter = rest.replace(b"[]", b"").replace(b"{}", b"")
        if not shorter:
            return False
        if len(shorter) == len(rest):  # unbalanced: not JSON, the decoder refuses it
            return False
        rest = shorter
    return True


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
