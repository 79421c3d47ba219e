"""What gateways and shards have in common as engines of their modules."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from iii_cluster.bus.envelopes import Nudge, Served, TriggerChange, TriggerSnapshot
from iii_cluster.bus.outbox import Outbox
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.config.settings import Settings
from iii_cluster.node.node import Node
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Commands
from iii_cluster.routing.served import ServedFunctions
from iii_cluster.routing.subscriptions import Subscriptions
from iii_cluster.routing.watched import WatchedType
from iii_cluster.telemetry.telemetry import Telemetry

from .engine import Watched


class NodeEngine:
    """One half of `Engine`: Redis, triggers, who serves what, nudges. The other half is calls and ownership."""

    def __init__(self, node: Node, outbox: Outbox) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._outbox = outbox
        self._map = ClusterMap()
        self._commands: dict[str, Commands] = {}
        self._nudged: dict[str, None] = {}
        self._subscriptions = Subscriptions(outbox)
        self._served = ServedFunctions(outbox)

    @property
    def node(self) -> str:
        return self._node.info.id

    @property
    def settings(self) -> Settings:
        return self._node.settings

    @property
    def prefix(self) -> str:
        return self._node.keys.prefix

    @property
    def telemetry(self) -> Telemetry:
        return self._node.telemetry

    async def ask_nodes(self, op: str, body: object = None) -> tuple[dict[str, Any], Collection[str]]:
        return await self._node.asker.ask_all(self._map.nodes, op, body)

    # -- Redis -------------------------------------------------------------------------------------

    @property
    def commands(self) -> Commands:
        return self.commands_of(self.settings.redis_urls[0])

    def commands_of(self, url: str) -> Commands:
        if url not in self._commands:
            self._commands[url] = Commands(url, self.node, self.settings.redis_outage_limit)
        return self._commands[url]

    async def close(self) -> None:
        """What modules still ask of Redis fails."""
        for commands in self._commands.values():
            await commands.close()

    # -- triggers and functions --------------------------------------------------------------------

    def watch(self, trigger_type: str, changed: Callable[[], None] | None = None) -> Watched:
        return WatchedType(self._subscriptions, trigger_type, changed)

    async def serves(self, function: str, namespace: str = "default") -> bool:
        known = self._served.get(namespace, function)
        if known is None:
            answer: asyncio.Future[bool | None] = self._loop.create_future()
            self._served.ask(namespace, function, lambda on: None if answer.done() else answer.set_result(on))
            known = await answer
        if known is None:
            raise EngineError(errors.TIMEOUT, f"no shard answered whether anybody serves {function}")
        return known

    # -- nudges ------------------------------------------------------------------------------------

    def nudge(self, key: str) -> None:
        if not self._nudged:
            self._loop.call_soon(self._send_nudges)
        self._nudged[key] = None

    def _send_nudges(self) -> None:
        keys, self._nudged = self._nudged, {}
        by_shard: dict[str, list[str]] = {}
        for key in keys:
            shard = self._map.owner(key)
            if shard:
                by_shard.setdefault(shard, []).append(key)
        for shard, mine in by_shard.items():
            self._outbox.send(shard, Nudge(mine))

    # -- what other nodes say ----------------------------------------------------------------------

    def listen(self, bus: Bus) -> None:
        """Hear of triggers and functions on the bus of the present node."""
        bus.on(TriggerSnapshot, self._subscriptions.on_snapshot)
        bus.on(TriggerChange, self._subscriptions.on_change)
        bus.on(Served, self._served.on_served)

    def on_map(self, new: ClusterMap) -> None:
        """A newer map, with this node in it."""
        self._map = new
        self._subscriptions.on_map(new)
        self._served.on_map(new)

    def on_reset(self, node: str) -> None:
        """The link to a node was reset."""
        self._subscriptions.on_reset(node)
        self._served.on_reset(node)

    def expire(self, now: float, limit: float) -> None:
        """Move the clock: give up questions to shards older than `limit` seconds."""
        self._served.expire(now, limit)

    def reincarnate(self, node: Node) -> None:
        """Go on as another node, which nobody knows yet."""
        self._node = node
        self._map = ClusterMap()
        self._subscriptions.reincarnate()
        self._served.reincarnate()
