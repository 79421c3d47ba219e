"""Ids made by a node: random UUIDs whose first eight digits say which process made them.

A worker may reconnect elsewhere before it answers a call or reattaches: any gateway can tell from the id whom to tell.
"""

import os

from iii_cluster.cluster.map import ClusterMap, tag_of

_POOL_BYTES = 12 * 256


class Ids:
    """Ids of the node called `node` (its role, "-" and eight hex digits)."""

    def __init__(self, node: str) -> None:
        self._tag = tag_of(node)
        self._pool = ""
        self._next = 0

    def new(self) -> str:
        """A version 4 UUID: 32 bits of tag, 90 random bits (from the system's generator, fetched in bulk)."""
        at = self._next
        if at >= len(self._pool):
            self._pool = os.urandom(_POOL_BYTES).hex()
            at = 0
        self._next = at + 24
        digits = self._pool[at : at + 24]
        variant = "89ab"[int(digits[7], 16) & 3]
        return f"{self._tag}-{digits[:4]}-4{digits[4:7]}-{variant}{digits[8:11]}-{digits[11:23]}"


def maker_of(value: str, current: ClusterMap) -> str:
    """The node that made an id, in its present incarnation; "" when it is not in the map (any more)."""
    tag = value[:8]
    return next((node for node in current.nodes if tag_of(node) == tag), "")
