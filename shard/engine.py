"""A shard as its modules see it."""

from collections.abc import Callable, Collection, Container

from iii_cluster.bus.envelopes import Envelope, Nudge
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.modules import adopting
from iii_cluster.modules.engine import Adopted, Done, Invocation, Ownership, Sent
from iii_cluster.modules.node_engine import NodeEngine
from iii_cluster.node.node import Node
from iii_cluster.routing.caller import MOVED, PATIENCE, Caller
from iii_cluster.routing.telemetry import CallerTelemetry

from .flushed import Flushed
from .owned import OwnedSlots

TICK = 0.25  # seconds between looks at what waits

Wake = Callable[[str], None]


class ShardEngine(NodeEngine):
    """Of one incarnation of a shard. Implements `iii_cluster.modules.engine.Engine`; is its caller's `Links`."""

    role = Role.SHARD

    def __init__(self, node: Node, module_functions: Container[str]) -> None:
        super().__init__(node, self)
        self._wakers: dict[str, list[Wake]] = {}  # by kind
        telemetry = CallerTelemetry(node.telemetry.tracer, node.telemetry.metrics.functions)
        self._caller = Caller(node.info.id, self, module_functions, telemetry)
        self._flushed = Flushed(node.info.id, node.asker)
        self._owned = OwnedSlots(node.info.id, lambda: node.membership.healthy)
        self.ownership: Ownership = self._owned
        self.listen(node.bus)
        for kind, handler in self._caller.handlers.items():
            node.bus.on(kind, handler)
        node.bus.on(Nudge, self._on_nudge)
        node.bus.on_reachable = self._caller.on_reachable
        node.bus.on_congestion = self._caller.on_congestion
        node.asker.answer(MOVED, lambda _src, body: self._caller.moved(body["calls"], body["node"], body["conn"]))
        node.membership.subscribe(lambda _old, new: self.on_map(new))
        node.membership.subscribe_lease(self._owned.tell)
        self._tick()  # before anything waits: how long it has is counted from the clock it moves
        self.on_map(node.membership.map)

    # -- the caller's links ------------------------------------------------------------------------

    def send(self, node: str, envelope: Envelope) -> None:
        if not self._node.membership.expelled:  # else nobody reads it
            self._node.bus.send(node, envelope)

    def congested(self, node: str) -> bool:
        return self._node.bus.congested(node)

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
        sent: Sent | None = None,
    ) -> Invocation:
        return self._caller.call(
            function,
            data,
            done,
            namespace=namespace,
            metadata=metadata,
            traceparent=traceparent,
            baggage=baggage,
            once=once,
            sent=sent,
        )

    async def adopt(self, names: Collection[str], done: Callable[[str, bytes], None]) -> Adopted:
        current = self._map
        flushed = await self._flushed.others(current)
        calls = self._caller
        adopted = await adopting.adopt(self._node.asker, current, names, done, calls.early, calls.expect)
        return adopted._replace(complete=adopted.complete and flushed)

    # -- nudges ------------------------------------------------------------------------------------

    def on_nudge(self, kind: str, wake: Wake) -> None:
        self._wakers.setdefault(kind, []).append(wake)

    def _on_nudge(self, _src: str, nudge: Nudge) -> None:
        for key in nudge.keys:
            for wake in self._wakers.get(key.partition(":")[0], ()):
                wake(key)

    # -- the cluster -------------------------------------------------------------------------------

    def on_map(self, new: ClusterMap) -> None:
        """Of a map without this node nothing follows: shards refuse what a stranger asks."""
        if self.node in new.nodes:
            super().on_map(new)
            self._caller.on_map(new)
            self._owned.on_map(new)
            self._flushed.on_map(new)

    def on_reset(self, node: str) -> None:
        super().on_reset(node)
        self._caller.on_reset(node)

    def _tick(self) -> None:
        now = self._loop.time()
        self.expire(now, PATIENCE)
        self._caller.expire(now)
        self._timer = self._loop.call_later(TICK, self._tick)

    # -- life --------------------------------------------------------------------------------------

    async def close(self) -> None:
        """The modules are gone: what they still wait for fails."""
        self._timer.cancel()
        self._flushed.close()
        self._caller.close(f"shard {self.node} stops")
        await super().close()

    @property
    def calls(self) -> int:
        """In flight, or waiting to be sent."""
        return len(self._caller)
