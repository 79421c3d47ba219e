"""What one shard does for the whole cluster: triggers, live streams, alerts and rollups."""

import asyncio
import logging
import time

from redis.exceptions import ResponseError

from iii_cluster.redis.commands import Unavailable
from iii_cluster.telemetry.records import Log, Span

from .alerting import Alerting
from .cursors import Cursors
from .follower import KEY, LOG_INTERVAL, Follower
from .listeners import LogListeners, SpanListeners
from .roller import Roller
from .sources import Sources

ROUND = 10.0  # seconds between evaluations of alerts, and looks whether there is something to sum up

log = logging.getLogger(__name__)


class ObservabilityService:
    """In every shard; at work in the one that owns KEY."""

    def __init__(self, sources: Sources, alerting: Alerting) -> None:
        self._engine = engine = sources.engine
        self._alerting = alerting
        self._roller = Roller(sources)
        self._logged = -LOG_INTERVAL
        self._followers: list[Follower[Log] | Follower[Span]] = []
        self._rounds: asyncio.Task[None] | None = None
        cursors = Cursors(engine.commands, engine.prefix)
        if (logs := sources.logs) is not None:
            self._followers.append(Follower(engine, cursors, "logs", logs.tail_logs, LogListeners(engine)))
        if (spans := sources.spans_if_kept) is not None:
            self._followers.append(Follower(engine, cursors, "spans", spans.tail_spans, SpanListeners(engine)))

    def start(self) -> None:
        for follower in self._followers:
            follower.start()
        self._rounds = asyncio.get_running_loop().create_task(self._go_round())

    async def stop(self) -> None:
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.wait([self._rounds])
        for follower in self._followers:
            await follower.stop()

    async def _go_round(self) -> None:
        while True:
            await asyncio.sleep(ROUND)
            if not self._engine.ownership.token(KEY):
                continue
            try:
                await self._alerting.evaluate()
                await self._roller.roll()
            except (Unavailable, ResponseError) as error:
                self._complain(error)
            except Exception:  # alerts must not end with one mistake
                log.exception("action=observability_round_failed")

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL:
            self._logged = now
            log.warning("action=alerts_not_evaluated error=%s", error)
