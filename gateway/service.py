"""The gateway's I/O: sockets and bus on one side, the core on the other."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from iii_cluster.bus import envelopes
from iii_cluster.bus.envelopes import Envelope
from iii_cluster.cluster.map import ClusterMap
from iii_cluster.config.ports import ports_of_gateway
from iii_cluster.config.settings import WorkerListener
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.http.module import HTTP, HttpModule
from iii_cluster.modules.load import load_modules
from iii_cluster.modules.stream.module import StreamModule
from iii_cluster.node.node import Node

from .access.setup import gate_of, guard_of
from .builtins.install import Builtins
from .builtins.modules import ModuleFunctions
from .call_telemetry import CallTelemetry
from .census import Census
from .channels.channels import Channels
from .core import GatewayCore
from .engine import GatewayEngine
from .external.calls import external_calls
from .http.app import App
from .http.listener import HttpListener
from .limits import Counts, limits_of
from .listener import Listener
from .neighbours import check_port
from .reattach import Reattach
from .streams.listener import StreamListener
from .worker import Worker

log = logging.getLogger(__name__)

_TICK = 0.25  # s
_LOOK = 1.0  # s between looks at the sockets


class GatewayService:
    """One gateway process."""

    def __init__(self, node: Node) -> None:
        self._node = node
        settings = node.settings
        self._host = ModuleHost(load_modules(settings.modules))
        self.core = GatewayCore(
            node.info.id,
            self,
            duplicates=settings.duplicate_functions,
            max_registrations=settings.max_registrations,
            reattach_window=settings.reattach_window,
            types=self._host.types,
            limits=limits_of(settings),
            telemetry=CallTelemetry(node.telemetry.tracer, node.telemetry.metrics.functions),
        )
        self._engine = GatewayEngine(self.core, node)
        self._modules = ModuleFunctions(self.core, self._host)
        self._external = external_calls(self.core, self._host.modules)
        self._guard = guard_of(self.core, self._engine, self._host)
        self._builtins = Builtins(self.core, node, self._host, self._guard)
        self._reattach = Reattach(self.core, node.asker)
        self.channels = Channels(self.core)
        self._listeners = [
            self._listener(own, "worker" if number == 1 else f"worker-{number}")
            for number, own in enumerate(settings.worker_listeners, 1)
        ]
        self._streams = next(
            StreamListener(module, settings, self._engine)
            for module in self._host.modules
            if isinstance(module, StreamModule)
        )
        http = next(module for module in self._host.modules if isinstance(module, HttpModule))
        self._app = App(http.config, self._engine, self.core, self.channels)
        self._http = HttpListener(http, settings, self._app, node.telemetry.metrics.requests)
        self._census = self._make_census() if self.core.limits.shared else None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = 0.0  # the sockets, next
        self._listen_to_nodes()

    def _listener(self, own: WorkerListener, name: str) -> Listener:
        settings = self._node.settings
        gate = gate_of(own, name, self._engine, settings)
        return Listener(self.core, settings, own, name, self.channels, gate, self._node.telemetry.intake)

    def _make_census(self) -> Census:
        core = self.core

        def own() -> Counts:
            return Counts(len(core.workers), core.announcer.count, core.invocations.waiting.count)

        return Census(core.limits, self._engine.commands, self._node.keys.census, own)

    def _listen_to_nodes(self) -> None:
        bus, core = self._node.bus, self.core
        bus.on(envelopes.Invoke, core.invocations.on_invoke)
        bus.on(envelopes.Result, core.invocations.on_remote_result)
        bus.on(envelopes.Refused, core.invocations.on_refused)
        bus.on(envelopes.Deliver, core.invocations.deliver)
        bus.on(envelopes.Congested, core.backpressure.on_congested)
        bus.on(envelopes.FunctionOwners, core.routes.on_owners)
        bus.on(envelopes.OfferTrigger, core.on_offer)
        bus.on(envelopes.WithdrawTrigger, core.on_withdraw)
        bus.on(envelopes.TriggerFailed, core.on_trigger_failed)
        bus.on(envelopes.RevokeTrigger, core.on_revoke)
        bus.on(envelopes.RejectFunction, core.on_reject)
        bus.on(envelopes.Cleanup, core.on_cleanup)
        self.channels.listen(bus, self._node.asker)
        self._engine.listen(bus)
        self._engine.answer(self._node.asker)
        bus.on_reset = self._on_reset
        bus.on_congestion = lambda node, on: None if on else self._link_writable(node)
        bus.on_reachable = core.on_reachable
        self._node.membership.subscribe(lambda _old, new: self._on_map(new))
        self._on_map(self._node.membership.map)

    def _on_map(self, new: ClusterMap) -> None:
        """Of a map without this node nothing follows: shards refuse what a stranger says."""
        if self._node.info.id in new.nodes:
            self.channels.on_map(self.core.map, new)
            self.core.on_map(self.core.map, new)
            self._engine.on_map(new)

    def _on_reset(self, node: str) -> None:
        self._node.asker.node_lost(node)
        self.core.on_reset(node)
        self.channels.on_reset(node)
        self._engine.on_reset(node)

    def _link_writable(self, node: str) -> None:
        self.core.link_writable(node)
        self.channels.link_writable(node)

    # -- Effects of the core -----------------------------------------------------------------------

    def send(self, node: str, envelope: Envelope) -> None:
        if not self._node.membership.expelled:  # else nobody reads it; the next incarnation says everything anew
            self._node.bus.send(node, envelope)

    def congested(self, node: str) -> bool:
        return self._node.bus.congested(node)

    def reattach(self, worker: Worker, previous: str, token: str) -> None:
        self._reattach.request(worker, previous, token)

    # -- RoleService -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin the modules, open the ports; the node is in the map by now."""
        node, settings = self._node, self._node.settings
        for own in ports_of_gateway(settings):
            await check_port(own, node.info.id, node.membership)
        self._tick()
        await self._host.initialize(self._engine)
        await self._streams.start()
        self._app.start()
        await self._until_routes_are_known()
        await self._http.start()
        for listener in self._listeners:
            await listener.start()
        log.info("action=listening host=%s ports=%s", settings.host, self.ports())

    async def _until_routes_are_known(self) -> None:
        """Clients of a port that gateways share must not find an empty table; without shards there is no other."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._node.settings.barrier):
                await self._engine.watch(HTTP).until_known()

    async def stop(self, grace: float) -> None:
        """All ports close at once, HTTP's first: its requests in progress are calls, whose answers come from workers
        until their connections have left, and from where they went after that."""
        await asyncio.gather(
            self._http.stop(grace), *(listener.stop(grace) for listener in self._listeners), self._streams.stop(grace)
        )
        self.core.invocations.give_up(f"gateway {self.core.node} has stopped")
        if self._external is not None:
            await self._external.stop()
        self._guard.close()
        await self._host.shutdown()
        self._modules.cancel()
        if self._census is not None:
            await self._census.stop()
        await self._engine.close()
        if self._timer is not None:
            self._timer.cancel()

    async def rejoin(self, node: Node) -> "GatewayService":
        """Go on as `node` with the sockets as they are; engine functions that still asked the old one fail."""
        self._node.asker.close()
        self._node = node
        self.core.reincarnate(node.info.id)
        self.channels.reincarnate()
        self._engine.reincarnate(node)
        self._builtins = Builtins(self.core, node, self._host, self._guard)
        self._reattach = Reattach(self.core, node.asker)
        self._listen_to_nodes()
        return self

    async def rejoined(self) -> None:
        log.info("action=rejoined node=%s workers=%d", self._node.info.id, len(self.core.workers))

    def ready(self) -> bool:
        return self._http.accepting and all(listener.accepting for listener in self._listeners)

    def ports(self) -> dict[str, int]:
        ports = {listener.name: listener.port for listener in self._listeners}
        return ports | {"http": self._http.port, "stream": self._streams.port}

    def describe(self) -> dict[str, Any]:
        core = self.core
        return {
            "connections": sum(map(len, self._listeners)),
            "workers": sum(worker.known for worker in core.workers.values()),
            "registrations": core.announcer.count,
            "routes": len(core.routes),
            "in_flight": core.invocations.in_flight,
            "kept": core.invocations.kept,
            "completed": core.invocations.completed,
            "tasks": len(asyncio.all_tasks()),
            "modules": self._host.describe(),
            "streams": self._streams.describe(),
            "channels": self.channels.describe(),
            "limits": core.limits.describe(),
            "refused_tokens": sum(listener.refused_tokens for listener in self._listeners),
            "http": self._app.describe() | self._http.describe(),
        }

    def _tick(self) -> None:
        now = self._loop.time()
        limit = self._node.settings.redis_outage_limit
        if now >= self._look_at:
            self._look_at = now + _LOOK
            for listener in self._listeners:
                listener.tick(now)
            self._streams.tick(now)
            if self._census is not None:
                self._census.tick(self._node.info.id, self.core.map)
            self._http.tick(now)
            self.channels.tick(now)
        self.core.routes.expire(now, limit)
        self.core.invocations.expire(now, limit)
        self._engine.expire(now, limit)
        if self._node.bus.disconnected_for(now) > limit:
            self.core.invocations.outages.cut_off("Redis is unreachable")
        elif self._node.membership.expelled:
            self.core.invocations.outages.cut_off("this gateway is cut off from the cluster")
        self._timer = self._loop.call_later(_TICK, self._tick)


async def serve(node: Node) -> GatewayService:
    return GatewayService(node)
