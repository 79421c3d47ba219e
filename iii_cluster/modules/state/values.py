"""Values as they come in."""

import re

import msgspec
from msgspec import Raw

_format = msgspec.json.format
# Numbers like 1e999 are JSON, but infinite for whoever reads them.
_MAYBE_INFINITE = re.compile(rb"[0-9][eE]\+?0*[1-9][0-9]{2}")


class NotFinite(ValueError):
    """A number that no client can hold."""


def compact(value: Raw) -> bytes:
    """Without the whitespace between its parts, otherwise as it was written."""
    text = _format(bytes(value), indent=-1)
    if _MAYBE_INFINITE.search(text) is not None:
        try:
            msgspec.json.decode(text)
        except msgspec.ValidationError as error:
            raise NotFinite(str(error)) from None
    return text
