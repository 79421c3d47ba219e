"""NaN and infinities that stand bare in JSON, as Python writes them though JSON has no such numbers. Pure."""

import re

MAX_BYTES = 256 * 2**10  # of what is looked through: that takes some milliseconds

# Outside of strings no other word of JSON has these letters. Possessive: what was passed is not tried again.
_NEXT = re.compile(rb'((?:"(?:[^"\\]++|\\.)*+"|[^"NI\-]++|-(?!I))*+)(?:NaN|-?Infinity)', re.DOTALL)


def without(body: memoryview) -> bytes | None:
    """The same with null in their places; None: there are none, or it is too large to look."""
    if len(body) > MAX_BYTES:
        return None
    parts: list[bytes] = []
    at = 0
    while (found := _NEXT.match(body, at)) is not None:
        parts += found[1], b"null"
        at = found.end()
    return b"".join((*parts, body[at:])) if parts else None
