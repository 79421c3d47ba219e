"""A gateway as its modules see it."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

from iii_cluster.bus.ask import Asker, AskError
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.modules import adopting
from iii_cluster.modules.engine import Adopted, Done, Invocation, Ownership, Sent
from iii_cluster.modules.node_engine import NodeEngine
from iii_cluster.node.node import Node

from .call import Call
from .core import GatewayCore
from .deliveries import Leaving

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


class GatewayEngine(NodeEngine):
    """Stays the same through all incarnations of the gateway. Implements `iii_cluster.modules.engine.Engine`."""

    role = Role.GATEWAY
    ownership: Ownership = _NothingOwned()

    def __init__(self, core: GatewayCore, node: Node) -> None:
        super().__init__(node, core.effects)
        self._core = core
        self._news = asyncio.Event()  # there is a new map

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
        sent: Sent | None = None,  # for owners, which are shards
    ) -> Invocation:
        invocation = _EngineCall(done)
        trace = (traceparent, baggage)
        self._core.own.start(
            Call(None, b"", namespace, function, data, trace, metadata, done=invocation.end, once=once)
        )
        return invocation.started()

    async def adopt(self, names: Collection[str], done: Callable[[str, bytes], None]) -> Adopted:
        calls = self._core.invocations
        return await adopting.adopt(self._node.asker, self._core.map, names, done, calls.early, calls.expect)

    async def serves(self, function: str, namespace: str = "default") -> bool:
        route = self._core.routes.get(namespace, function)
        if route is not None and route.local:
            return True  # perhaps no shard knows yet
        return await super().serves(function, namespace)

    def on_nudge(self, kind: str, wake: Callable[[str], None]) -> None:
        """Nobody nudges a gateway."""

    # -- what other nodes say ----------------------------------------------------------------------

    def answer(self, asker: Asker) -> None:
        """Answer what new owners ask of deliveries, at the present node."""
        asker.answer(adopting.FIND, lambda node, body: self._find(node, body["names"], body["epoch"]))

    async def _find(self, asker: str, names: list[str], epoch: int) -> dict[str, Any]:
        """Only who knows of the loss of the former owner takes nothing from it any more."""
        try:
            async with asyncio.timeout(adopting.PATIENCE):
                while self._core.map.epoch < epoch:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AskError(f"this gateway knows no map of epoch {epoch}") from None
        try:
            serving, ended = self._core.invocations.deliveries.find(asker, names)
        except Leaving:
            raise AskError("a worker takes them to another gateway right now") from None
        return {"serving": serving, "ended": ended}

    def on_map(self, new: ClusterMap) -> None:
        super().on_map(new)
        self._news.set()
