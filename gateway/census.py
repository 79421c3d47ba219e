"""What the gateways of a cluster have together. Each one writes its own counts to Redis and reads those of the others,
once a second, if there are limits that they share.

Counts of others are up to two seconds old, so a limit may be exceeded by what the others took in since. Without Redis
every gateway goes on with what it has heard last.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import RedisError

from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.redis.commands import Commands, Unavailable

from .limits import Counts, Limits

log = logging.getLogger(__name__)

# A gateway that writes nothing for so long is not counted by those who have not heard of it yet, ms.
_KEPT = 30_000


class Census:
    """`key` makes the name of a gateway's counts in Redis; `own` counts what this gateway has."""

    def __init__(
        self, limits: Limits, commands: Commands, key: Callable[[str], str], own: Callable[[], Counts]
    ) -> None:
        self._limits = limits
        self._commands = commands
        self._key = key
        self._own = own
        self._known: dict[str, Counts] = {}  # by gateway
        self._exchange: asyncio.Task[None] | None = None

    def tick(self, node: str, current: ClusterMap) -> None:
        """To be called once a second; `node` is this gateway. An exchange that Redis does not end is the only one."""
        others = [id for id in current.of_role(Role.GATEWAY) if id != node]
        self._known = {id: self._known[id] for id in others if id in self._known}
        self._limits.heard(self._known.values())
        if self._exchange is None or self._exchange.done():
            self._exchange = asyncio.get_running_loop().create_task(self._ask(node, others))

    async def stop(self) -> None:
        if self._exchange is not None:
            self._exchange.cancel()
            await asyncio.wait([self._exchange])

    async def _ask(self, node: str, others: list[str]) -> None:
        counts = ",".join(map(str, self._own()))
        try:
            put = self._commands.execute("SET", self._key(node), counts, "PX", _KEPT, again=True)
            if others:
                _, values = await asyncio.gather(
                    put, self._commands.execute("MGET", *map(self._key, others), again=True)
                )
                self._known |= _counted(others, values)
            else:
                await put
        except (Unavailable, RedisError) as error:
            log.warning("action=census_failed reason=%s", error)
            return
        self._limits.heard(self._known.values())


def _counted(nodes: Iterable[str], values: Iterable[Any]) -> dict[str, Counts]:
    """Those that have written something; of others what was heard before stays."""
    found = {}
    for node, value in zip(nodes, values, strict=True):
        try:
            found[node] = Counts(*map(int, value.split(b",")))
        except (AttributeError, TypeError, ValueError):
            continue
    return found
