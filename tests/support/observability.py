"""Processes of a fake cluster with the module iii-observability, whose telemetry goes to one Valkey.

async with staged(valkey.url, logs_enabled=False) as stage:
    engine, host = await stage.node()
    await call(host, "engine::logs::list")
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from iii_cluster.cluster.map import Role
from iii_cluster.config.settings import ModuleEntry, Settings
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.module import Request
from iii_cluster.modules.observability.module import ObservabilityModule
from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.metrics.gather import SNAPSHOT
from iii_cluster.telemetry.metrics.snapshot import encode_snapshot
from iii_cluster.telemetry.telemetry import Telemetry
from tests.support.engine import FakeCluster, FakeEngine


class Stage:
    """A fake cluster whose processes keep what they tell in one Valkey."""

    def __init__(self, url: str, **config: Any) -> None:
        self.cluster = FakeCluster()
        self.settings = Settings(redis_urls=(url,), modules=(ModuleEntry("iii-observability", config),))
        self.config = msgspec.convert(config, Observability)
        self._url = url
        self._hosts: list[ModuleHost] = []
        self._engines: list[FakeEngine] = []

    async def node(self, role: Role = Role.SHARD, *, owner: bool = True) -> tuple[FakeEngine, ModuleHost]:
        engine = self.cluster.node(self._url, role, self.settings)
        engine.telemetry = Telemetry(self.settings, self.config)
        engine.asked[SNAPSHOT] = lambda *_: encode_snapshot(engine.telemetry.metrics.snapshot())
        engine.telemetry.metrics.of_node(lambda snapshot: setattr(snapshot, "host", engine.node))
        await engine.telemetry.start()
        if not owner:
            engine.ownership.take_away()
        host = ModuleHost([ObservabilityModule(self.config)])
        await host.initialize(engine)
        self._hosts.append(host)
        self._engines.append(engine)
        return engine, host

    def heard(self, function: str) -> list[Any]:
        heard: list[Any] = []
        self.cluster.register(function, heard.append)
        return heard

    async def close(self) -> None:
        for host in self._hosts:
            await host.shutdown()
        for engine in self._engines:
            await engine.telemetry.stop()
        await self.cluster.close()


@asynccontextmanager
async def staged(url: str, **config: Any) -> AsyncIterator[Stage]:
    stage = Stage(url, **config)
    try:
        yield stage
    finally:
        await stage.close()


async def call(host: ModuleHost, function: str, **data: Any) -> Any:
    answer = await host.run(function, Request(function, msgspec.json.encode(data)))
    return msgspec.json.decode(answer or b"null")
