"""The state module in fake gateways and shards on a real Valkey."""

import json
from typing import Any

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import Settings
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.module import Request
from iii_cluster.modules.state.module import StateConfig, StateModule
from iii_cluster.telemetry.tracing import NO_TRACE, Trace
from tests.support.engine import FakeCluster, FakeEngine


class StateGateway:
    """One gateway's state functions, called as workers call them."""

    def __init__(self, engine: FakeEngine, host: ModuleHost) -> None:
        self.engine = engine
        self.host = host

    async def raw(self, function: str, data: bytes, trace: Trace = NO_TRACE) -> bytes | None:
        traceparent, baggage = trace
        return await self.host.run(function, Request(function, data, traceparent=traceparent, baggage=baggage))

    async def call(self, function: str, **data: Any) -> Any:
        """The result as Python has it; ... for none."""
        result = await self.raw(f"state::{function}", json.dumps(data).encode())
        return ... if result is None else json.loads(result)

    async def set(self, scope: str, key: str, value: Any) -> Any:
        return await self.call("set", scope=scope, key=key, value=value)

    async def get(self, scope: str, key: str) -> Any:
        return await self.call("get", scope=scope, key=key)

    async def update(self, scope: str, key: str, *ops: dict[str, Any]) -> Any:
        return await self.call("update", scope=scope, key=key, ops=list(ops))


class StateStage:
    """A fake cluster; `config` is what the file says of iii-state."""

    def __init__(self, url: str, config: dict[str, Any] | None = None, settings: Settings | None = None) -> None:
        self.cluster = FakeCluster()
        self.url = url
        self.settings = settings
        self._config = msgspec.convert(config or {}, StateConfig)
        self._hosts: list[ModuleHost] = []

    async def gateway(self) -> StateGateway:
        engine = self.cluster.node(self.url, Role.GATEWAY, self.settings)
        return StateGateway(engine, await self._begin(engine))

    async def shard(self, *, owner: bool = True) -> FakeEngine:
        """Owns all slots, or none."""
        engine = self.cluster.node(self.url, Role.SHARD, self.settings)
        if not owner:
            engine.ownership.take_away()
        await self._begin(engine)
        return engine

    async def _begin(self, engine: FakeEngine) -> ModuleHost:
        host = ModuleHost([StateModule(self._config)])
        await host.initialize(engine)
        self._hosts.append(host)
        return host

    async def close(self) -> None:
        for host in self._hosts:
            await host.shutdown()
        await self.cluster.close()


def trigger(id: str, function: str, **config: Any) -> Trigger:
    return Trigger(id, "state", function, json.dumps(config).encode())
