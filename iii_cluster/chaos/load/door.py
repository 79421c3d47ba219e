"""Where clients enter the cluster."""

from collections.abc import Callable

from msgspec import Struct


class Door(Struct, frozen=True):
    """`gateway_of` tells which gateway's process gave a worker its id: behind one port there may be several."""

    url: str
    gateway_of: Callable[[str], str]
