"""The JSON of state events."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

_encode = msgspec.json.Encoder().encode


class EventText(NamedTuple):
    """The part of an event between its type and its old value; scripts put the rest around it, too."""

    middle: bytes

    @classmethod
    def of(cls, scope: str, key: str) -> "EventText":
        return cls(b'","scope":' + _encode(scope) + b',"key":' + _encode(key) + b',"old_value":')

    def created(self, new: bytes) -> bytes:
        return self._event(b"created", b"null", new)

    def updated(self, old: bytes, new: bytes) -> bytes:
        return self._event(b"updated", old, new)

    def written(self, old: bytes | None, new: bytes) -> bytes:
        return self.created(new) if old is None else self.updated(old, new)

    def steps(self, old: bytes | None, values: Sequence[bytes]) -> list[bytes]:
        """The events of going from `old` through `values`."""
        return [self.written(before, new) for before, new in pairwise((old, *values)) if new is not None]

    def deleted(self, old: bytes | None) -> bytes:
        return self._event(b"deleted", old or b"null", b"null")

    def _event(self, type: bytes, old: bytes, new: bytes) -> bytes:
        return b'{"type":"state","event_type":"state:%b%b%b,"new_value":%b}' % (type, self.middle, old, new)
