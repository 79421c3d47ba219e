"""A gateway as its modules see it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

from iii_cluster.bus.ask import Asker
from iii_cluster.bus.envelopes import Nudge, Served, TriggerChange, TriggerSnapshot
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.config.settings import Settings
from iii_cluster.modules import adopting
from iii_cluster.modules.engine import Adopted, Done, Invocation, Ownership, Watched
from iii_cluster.node.node import Node
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Commands
from iii_cluster.routing.served import ServedFunctions
from iii_cluster.routing.subscriptions import Subscriptions
from iii_cluster.routing.watched import WatchedType

from .call import Call
from .core import GatewayCore

log = logging.getLogger(__name__)


class _EngineCall:
    """A call of a module that is under way."""

    __slots__ = ("_done", "_early")

    def __init__(self, done: Done | None) -> None:
        self._done = done
        self._early = True  # it is being started

    def started(self) -> "_EngineCall":
        self._early = False
        return self

    def end(self, result: bytes, error: bytes) -> None:
        if self._early:
            asyncio.get_running_loop().call_soon(self._tell, result, error)
        else:
            self._tell(result, error)

    def _tell(self, result: bytes, error: bytes) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        try:
            done(result, error)
        except Exception:
            log.exception("action=call_end_failed")

    def forget(self) -> None:
        self._done = None


class _NothingOwned:
    """What a gateway owns."""

    def token(self, key: str) -> int:
        return 0

    def slot_token(self, slot: int) -> int:
        return 0

    def slots(self) -> Collection[int]:
        return ()

    def subscribe(self, changed: Callable[[], None]) -> None:
        pass


class GatewayEngine:
    """Stays the same through all incarnations of the gateway. Implements `iii_cluster.modules.engine.Engine`."""

    role = Role.GATEWAY
    ownership: Ownership = _NothingOwned()

    def __init__(self, core: GatewayCore, node: Node) -> None:
        self._core = core
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._commands: dict[str, Commands] = {}
        self._nudged: dict[str, None] = {}
        self._subscriptions = Subscriptions(core.effects)
        self._served = ServedFunctions(core.effects)
        self._news = asyncio.Event()  # there is a new map

    def rejoin(self, node: Node) -> None:
        """Go on as another node, which nobody knows yet."""
        self._node = node
        self._subscriptions.reincarnate()
        self._served.reincarnate()

    @property
    def node(self) -> str:
        return self._core.node

    @property
    def settings(self) -> Settings:
        return self._node.settings

    @property
    def prefix(self) -> str:
        return self._node.keys.prefix

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

    # -- calls -------------------------------------------------------------------------------------

    def invoke(
        self,
        function: str,
        data: bytes,
        done: Done | None = None,
        *,
        namespace: str = "default",
        metadata: bytes = b"",
        traceparent: bytes = b"",
        baggage: bytes = b"",
        once: str = "",
    ) -> Invocation:
        invocation = _EngineCall(done)
        trace = (traceparent, baggage)
        self._core.own.start(
            Call(None, b"", namespace, function, data, trace, metadata, done=invocation.end, once=once)
        )
        return invocation.started()

    async def adopt(self, names: Collection[str], done: Callable[[str, bytes], None]) -> Adopted:
        invocations = self._core.invocations
        with invocations.early.kept() as early:
            found = await adopting.find(self._node.asker, self._core.map, names)
            for name, (gateway, id) in found.serving.items():
                tell = partial(_tell_adopted, done, name)
                if id in early:
                    self._loop.call_soon(tell, *early[id])
                else:
                    invocations.expect(id, gateway, tell)
        return Adopted(found.serving.keys(), found.ended, found.complete)

    def _find(self, asker: str, body: dict[str, Any]) -> Awaitable[dict[str, Any]]:
        return self._find_when_current(asker, body["names"], body["epoch"])

    async def _find_when_current(self, asker: str, names: list[str], epoch: int) -> dict[str, Any]:
        """Only who knows of the loss of the former owner takes nothing from it any more."""
        async with asyncio.timeout(adopting.PATIENCE):
            while self._core.map.epoch < epoch:
                self._news.clear()
                await self._news.wait()
        serving, ended = self._core.invocations.deliveries.find(asker, names)
        return {"serving": serving, "ended": ended}

    async def serves(self, function: str, namespace: str = "default") -> bool:
        route = self._core.routes.get(namespace, function)
        if route is not None and route.local:
            return True  # perhaps no shard knows yet
        known = self._served.get(namespace, function)
        if known is None:
            answer: asyncio.Future[bool | None] = self._loop.create_future()
            self._served.ask(namespace, function, lambda on: None if answer.done() else answer.set_result(on))
            known = await answer
        if known is None:
            raise EngineError(errors.TIMEOUT, f"no shard answered whether anybody serves {function}")
        return known

    # -- triggers ----------------------------------------------------------------------------------

    def watch(self, trigger_type: str, changed: Callable[[], None] | None = None) -> Watched:
        return WatchedType(self._subscriptions, trigger_type, changed)

    # -- what nodes say ----------------------------------------------------------------------------

    def listen(self, bus: Bus, asker: Asker) -> None:
        """Hear of triggers and functions on the bus of the present node."""
        bus.on(TriggerSnapshot, self._subscriptions.on_snapshot)
        bus.on(TriggerChange, self._subscriptions.on_change)
        bus.on(Served, self._served.on_served)
        asker.answer(adopting.FIND, self._find)

    def on_map(self, new: ClusterMap) -> None:
        self._subscriptions.on_map(new)
        self._served.on_map(new)
        self._news.set()

    def on_reset(self, node: str) -> None:
        """The link to a node was reset."""
        self._subscriptions.on_reset(node)
        self._served.on_reset(node)

    def expire(self, now: float, limit: float) -> None:
        """Move the clock: give up questions to shards older than `limit` seconds."""
        self._served.expire(now, limit)

    # -- nudges ------------------------------------------------------------------------------------

    def nudge(self, key: str) -> None:
        if not self._nudged:
            self._loop.call_soon(self._send_nudges)
        self._nudged[key] = None

    def _send_nudges(self) -> None:
        keys, self._nudged = self._nudged, {}
        by_shard: dict[str, list[str]] = {}
        for key in keys:
            shard = self._core.map.owner(key)
            if shard:
                by_shard.setdefault(shard, []).append(key)
        for shard, mine in by_shard.items():
            self._core.effects.send(shard, Nudge(mine))

    def on_nudge(self, kind: str, wake: Callable[[str], None]) -> None:
        """Nobody nudges a gateway."""


def _tell_adopted(done: Callable[[str, bytes], None], name: str, _result: bytes, error: bytes) -> None:
    try:
        done(name, error)
    except Exception:
        log.exception("action=call_end_failed once=%s", name)
