"""Ids made by a gateway: random UUIDs whose first eight digits say which gateway made them.

A worker may reconnect elsewhere before it answers a call or reattaches: any gateway can tell from the id whom to tell.
"""

import os

_POOL_BYTES = 12 * 256


class Ids:
    """Ids of the node called `node` ("gateway-" and eight hex digits)."""

    def __init__(self, node: str) -> None:
        self.tag = tag_of_node(node)
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
        return f"{self.tag}-{digits[:4]}-4{digits[4:7]}-{variant}{digits[8:11]}-{digits[11:23]}"


def tag_of_node(node: str) -> str:
    return node.rpartition("-")[2][:8]


def tag_of_id(value: str) -> str:
    return value[:8]
