"""Telemetry of one process, through all its incarnations."""

import os

from iii_cluster.config.settings import Settings

from .config import OBSERVABILITY, Observability
from .environment import observability
from .metrics.metrics import Metrics
from .sampling import sampler_of
from .spool import Spool
from .tracing import Tracer


class Telemetry:
    """What the process tells of itself and passes on for others. Made once; works, if only into the spool, at once."""

    def __init__(self, settings: Settings, config: Observability | None = None) -> None:
        if config is None:
            entry = next((entry.config for entry in settings.modules if entry.name == OBSERVABILITY), {})
            config = observability(entry, os.environ)
        self.config = config
        self.spool = Spool()
        self.metrics = Metrics()
        self.metrics.watch_drops("spool", self.spool.dropped)
        self.tracer = Tracer(self.spool, config.service_name, enabled=config.enabled, sampler=sampler_of(config))

    def rename(self, node: str) -> None:
        """The process goes on under another node id."""
        self.tracer.node = node

    async def start(self) -> None:
        """Begin to pass on what is spooled. Never fails: what cannot be reached is tried again."""

    async def stop(self) -> None:
        """Pass on what is left, within a second or so."""
