"""Passes on what is spooled, a few times per second, to wherever it goes."""

import asyncio
import logging
from typing import Protocol

from .spool import Batch, Spool

INTERVAL = 0.1  # s

logger = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where telemetry goes. Takes what it is configured for and drops what it has no room for."""

    def offer(self, batch: Batch) -> None:
        """Must neither wait nor change what it is given: other outlets get the same. Takes milliseconds at most."""

    def lost(self, spans: int, logs: int) -> None:
        """So many were dropped before they got here."""

    async def stop(self) -> None:
        """Pass on what is left, within a second or so."""


class Pipeline:
    """From the spool to the outlets."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._outlets: list[Outlet] = []
        self._task: asyncio.Task[None] | None = None
        self._told_spans = 0  # of those that the spool dropped
        self._told_logs = 0

    def add(self, outlet: Outlet) -> None:
        self._outlets.append(outlet)

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self.flush()
        await asyncio.gather(*(outlet.stop() for outlet in self._outlets), return_exceptions=True)
        self._outlets = []

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            self.flush()

    def flush(self) -> None:
        """Pass on what is there."""
        spool = self._spool
        batch = spool.take()
        spans, logs = spool.dropped_spans - self._told_spans, spool.dropped_logs - self._told_logs
        self._told_spans += spans
        self._told_logs += logs
        for outlet in self._outlets:
            try:
                if spans or logs:
                    outlet.lost(spans, logs)
                if batch:
                    outlet.offer(batch)
            except Exception:
                logger.exception("action=telemetry_outlet_failed outlet=%s", type(outlet).__name__)
