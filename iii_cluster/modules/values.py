"""Values as they come in."""

import msgspec
from msgspec import Raw

_format = msgspec.json.format

# Digits become 0, exponents e, everything else a blank: numbers like 1e999, or of hundreds of digits, are easily seen.
_SHAPES = bytes(0x30 if chr(c).isdecimal() and c < 128 else 0x65 if c in b"eE" else 0x20 for c in range(256))
_LONG_EXPONENT = b"e000"
_MANY_DIGITS = b"0" * 200


class NotFinite(ValueError):
    """A number that is JSON, but infinite for whoever reads it."""


def compact(value: Raw) -> bytes:
    """Without the whitespace between its parts, otherwise as it was written."""
    text = _format(bytes(value), indent=-1)
    shapes = text.translate(_SHAPES, b"+")
    if _LONG_EXPONENT in shapes or _MANY_DIGITS in shapes:
        try:
            msgspec.json.decode(text)
        except msgspec.ValidationError as error:
            raise NotFinite(str(error)) from None
    return text
