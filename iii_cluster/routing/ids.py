"""Ids made by a node: random UUIDs whose first eight digits say which process made them.

A worker may reconnect elsewhere before it answers a call or reattaches: any gateway can tell from the id whom to tell.
"""

import os

from iii_cluster.cluster.map import ClusterMap, tag_of

_BATCH = 256  # ids made at once
_LENGTH = 36  # characters of an id
# Where its random digits stand. The first of the fourth group also says the variant.
_PLACES = (*range(9, 13), *range(15, 18), *range(19, 23), *range(24, 36))
_DIGITS = len(_PLACES)
_VARIANT = 19
_VARIANTS = bytes.maketrans(b"0123456789abcdef", b"89ab" * 4)


class Ids:
    """Ids of the node called `node` (its role, "-" and eight hex digits)."""

    def __init__(self, node: str) -> None:
        self._template = f"{tag_of(node):0<8.8}-0000-4000-8000-{0:012}".encode()
        self._pool = ""
        self._next = 0

    def new(self) -> str:
        """A version 4 UUID: 32 bits of tag, 90 random bits of the system's generator."""
        at = self._next
        if at >= len(self._pool):
            self._refill()
            at = 0
        self._next = end = at + _LENGTH
        return self._pool[at:end]

    def _refill(self) -> None:
        """One digit of all ids at a time: an id costs a tenth of what it would cost by itself."""
        digits = os.urandom(_BATCH * _DIGITS // 2).hex().encode()
        pool = bytearray(self._template * _BATCH)
        for number, place in enumerate(_PLACES):
            pool[place::_LENGTH] = digits[number::_DIGITS]
        pool[_VARIANT::_LENGTH] = pool[_VARIANT::_LENGTH].translate(_VARIANTS)
        self._pool = pool.decode()


def maker_of(value: str, current: ClusterMap) -> str:
    """The node that made an id, in its present incarnation; "" when it is not in the map (any more)."""
    tag = value[:8]
    return next((node for node in current.nodes if tag_of(node) == tag), "")
