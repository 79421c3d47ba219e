"""Telemetry of one process, through all its incarnations."""

import asyncio
import os

from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.tasks import end
from iii_cluster.config.settings import Settings
from iii_cluster.redis.commands import Commands

from .config import OBSERVABILITY, Observability
from .environment import observability
from .intake import Intake
from .metrics.metrics import Metrics
from .otlp.forward import Forwarder
from .pipeline import Pipeline
from .sampling import sampler_of
from .spool import Spool
from .store.room import keep_room
from .store.store import Store
from .store.sweep import keep_swept
from .store.writer import StoreWriter
from .tracing import Tracer

PATIENCE = 5.0  # s that the store's commands wait for Redis


class Telemetry:
    """What the process tells of itself and passes on for others. Made once; works, if only into the spool, at once."""

    def __init__(self, settings: Settings, config: Observability | None = None) -> None:
        if config is None:
            entry = next((entry.config for entry in settings.modules if entry.name == OBSERVABILITY), {})
            config = observability(entry, os.environ)
        self.config = config
        self.spool = Spool()
        self.pipeline = Pipeline(self.spool)
        self.store: Store | None = None  # what the whole cluster keeps; there is one once this was started
        self._settings = settings
        self._commands: Commands | None = None  # of its own: calls do not wait for telemetry, nor it for calls
        self._care: list[asyncio.Task[None]] = []
        self.metrics = Metrics()
        self.metrics.watch_drops("spool", self.spool.dropped)
        self.forwarder = Forwarder(config, self.metrics.for_collectors)
        self.metrics.watch_drops("collector", self.forwarder.dropped)
        sampler = sampler_of(config)
        self.intake = Intake(self.spool, config, sampler)
        self.tracer = Tracer(self.spool, config.service_name, enabled=config.enabled, sampler=sampler)

    def rename(self, node: str) -> None:
        """The process goes on under another node id."""
        self.tracer.node = node
        self.forwarder.rename(node)

    async def start(self) -> None:
        """Begin to pass on what is spooled. Never fails: what cannot be reached is tried again."""
        config, prefix = self.config, Keys(self._settings.cluster).prefix
        commands = self._commands = Commands(self._settings.redis_urls[0], "telemetry", PATIENCE, "telemetry_store")
        store = self.store = Store(commands, prefix, config)
        writer = StoreWriter(commands, prefix, config, store)
        self.metrics.watch_drops("store", writer.dropped)
        self.pipeline.add(writer)
        if self.forwarder.active:
            self.pipeline.add(self.forwarder)
            self.forwarder.start()
        self.pipeline.start()
        self._care = [asyncio.create_task(keep_swept(store, config)), asyncio.create_task(keep_room(store))]

    async def stop(self) -> None:
        """Pass on what is left, within a second or so."""
        for task in self._care:
            await end(task)
        await self.intake.stop()
        await self.pipeline.stop()
        if self._commands is not None:
            await self._commands.close()
