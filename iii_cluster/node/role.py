"""What a role is to the process that runs it."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from .node import Node


class RoleService(Protocol):
    async def start(self) -> None:
        """Called when the node is in the map; returns when the role serves."""

    async def stop(self, grace: float) -> None:
        """Drain and close within `grace` seconds. Also called when the process ends before `start`."""

    async def rejoin(self, node: Node) -> "RoleService":
        """The old incarnation is over: go on with `node`, which has a lease but is not yet in the map.

        Returns who serves from now on. Called again, with a newer node, when that one does not get into the map.
        """

    async def rejoined(self) -> None:
        """Called instead of `start` when a new incarnation of a process that has served is in the map."""

    def ready(self) -> bool: ...

    def ports(self) -> dict[str, int]:
        """Bound ports by name, such as {"worker": 49134}."""

    def describe(self) -> dict[str, Any]:
        """Numbers for the admin port, JSON-able."""


Serve = Callable[[Node], Awaitable[RoleService]]
