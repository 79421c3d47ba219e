"""Telemetry on its way to a collector: one thread sends, and whatever the collector does, nobody waits for it.

    offer (loop) -> lane per signal, bounded -> thread -> official exporter -> collector

The thread is a daemon: a request that hangs does not keep the process from ending.
"""

import asyncio
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from iii_cluster.telemetry.config import Observability
from iii_cluster.telemetry.shedding import Shedder
from iii_cluster.telemetry.spool import Batch
from iii_cluster.telemetry.store.encoding import log_size, metric_size, span_size

from .destinations import BadEndpoint, Destination, Signal, destinations
from .lane import Lane
from .resource import own_resource

if TYPE_CHECKING:
    from .exporting import Reason, Send

OwnMetrics = Callable[[], Callable[[], Any]]

SPANS_PER_SECOND = 2000  # that one process sends: to encode them takes some 7 % of a core
SPANS_AT_ONCE = 512
METRICS_AT_ONCE = 1000
SPANS_INTERVAL = 1.0  # s that a few spans wait for others
METRICS_INTERVAL = 5.0  # s
OWN_METRICS_INTERVAL = 60.0  # s
TICK = 0.5  # s between looks at what is due
STOP_TIMEOUT = 1.0  # s for what is left
# The interpreter lets a thread compute for 5 ms while the loop waits. Encoding is what this thread does.
SWITCH_INTERVAL = 0.001  # s

logger = logging.getLogger(__name__)


class Forwarder:
    """An outlet. Does nothing where no exporter is `otlp` or `both`.

    `own_metrics` is called on the loop; what it returns is called by the thread and returns MetricsData.
    """

    def __init__(
        self, config: Observability, own_metrics: OwnMetrics | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._config = config
        self._environ = environ
        self._own_metrics = own_metrics
        self._own = own_resource(config, "", environ)
        try:
            self._to = {to.signal: to for to in destinations(config, environ)}
        except BadEndpoint as error:
            logger.error("action=collector_unusable reason=%s", error)
            self._to = {}
        lanes: dict[Signal, Lane[Any]] = {
            Signal.TRACES: Lane(SPANS_AT_ONCE, SPANS_INTERVAL),
            Signal.METRICS: Lane(METRICS_AT_ONCE, METRICS_INTERVAL),
            Signal.LOGS: Lane(config.logs_batch_size, config.logs_flush_interval_ms / 1000),
        }
        self._lanes = {signal: lane for signal, lane in lanes.items() if signal in self._to}
        self._shedder = Shedder(SPANS_PER_SECOND)
        self._wake = threading.Event()
        self._stop_at: float | None = None
        self._thread: threading.Thread | None = None
        self._senders: list[Send] = []
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """Whether anything goes to a collector."""
        return bool(self._lanes)

    def dropped(self) -> dict[str, int]:
        """What no collector will get, by signal."""
        names = {Signal.TRACES: "spans", Signal.METRICS: "metrics", Signal.LOGS: "logs"}
        return {names[signal]: lane.dropped for signal, lane in self._lanes.items()}

    def sent(self) -> dict[Signal, int]:
        return {signal: lane.sent for signal, lane in self._lanes.items()}

    def rename(self, node: str) -> None:
        """The process goes on under another node id."""
        self._own = own_resource(self._config, node, self._environ)

    def offer(self, batch: Batch) -> None:
        """Takes what goes to a collector; never waits."""
        if (traces := self._lanes.get(Signal.TRACES)) is not None:
            ended = [span for span in batch.spans if span.end_time_unix_nano]  # the others will come again
            kept = self._shedder.shed(ended, time.monotonic(), traces.room)
            traces.refuse(len(ended) - len(kept))
            for span in kept:
                traces.put(span, span_size(span))
        if (logs := self._lanes.get(Signal.LOGS)) is not None:
            for log in batch.logs:
                logs.put(log, log_size(log))
        if (metrics := self._lanes.get(Signal.METRICS)) is not None:
            for metric in batch.metrics:
                metrics.put(metric, metric_size(metric))

    def lost(self, spans: int, logs: int) -> None:
        """Who drops them counts them."""

    def start(self) -> None:
        """On the running loop."""
        if not self._lanes or self._thread is not None:
            return
        to = " ".join(f"{signal}={where.shown}" for signal, where in self._to.items())
        logger.info("action=collector_used %s", to)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines about every attempt go to stderr directly
        sys.setswitchinterval(SWITCH_INTERVAL)
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="otlp", daemon=True)
        self._thread.start()
        if self._own_metrics is not None and Signal.METRICS in self._lanes:
            self._timer = loop.call_later(OWN_METRICS_INTERVAL, self._measure)

    async def stop(self) -> None:
        """What is left is sent, if that takes no longer than STOP_TIMEOUT."""
        if self._thread is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._put_own_metrics()
        self._stop_at = time.monotonic() + STOP_TIMEOUT
        self._wake.set()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._ended.wait()
        except TimeoutError:
            left = sum(not lane.empty for lane in self._lanes.values())
            logger.warning("action=collector_too_slow signals=%d limit_s=%.1f", left, STOP_TIMEOUT)
        for send in self._senders:
            send.close()

    # -- the loop

    def _measure(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(OWN_METRICS_INTERVAL, self._measure)
        self._put_own_metrics()

    def _put_own_metrics(self) -> None:
        assert self._own_metrics is not None
        self._lanes[Signal.METRICS].put(self._own_metrics(), 0)

    # -- the thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._send_all()
        except Exception:
            logger.exception("action=forwarding_failed")
        try:
            loop.call_soon_threadsafe(self._ended.set)
        except RuntimeError:
            return  # the loop is closed: it did not wait

    def _send_all(self) -> None:
        from . import exporting

        reason = exporting.listen()
        routes = []
        for signal, lane in self._lanes.items():
            send = exporting.sender(self._to[signal], reason)
            self._senders.append(send)
            routes.append(Route(self._to[signal], lane, send, reason))
        while True:
            self._wake.wait(TICK)
            self._wake.clear()
            if self._stop_at is not None:
                for route in routes:
                    route.send_rest(self._stop_at, self._own)
                return
            for route in routes:
                route.send_due(self._own, lambda: self._stop_at is not None)


class Route:
    """One signal on its way to a collector. Used by the thread only."""

    def __init__(self, to: Destination, lane: Lane[Any], send: "Send", reason: "Reason") -> None:
        self._to = to
        self._lane = lane
        self._send = send
        self._reason = reason
        self._away_since: float | None = None
        self._dropped = 0  # when the outage began

    def send_due(self, own: Mapping[str, Any], stopping: Callable[[], bool]) -> None:
        while self._lane.due(time.monotonic()) and not stopping():
            self._send_one(own)

    def send_rest(self, until: float, own: Mapping[str, Any]) -> None:
        """As long as nothing fails."""
        while not self._lane.empty and not self._lane.failing and time.monotonic() < until:
            self._send_one(own)

    def _send_one(self, own: Mapping[str, Any]) -> None:
        from . import exporting

        batch = self._lane.take()
        self._reason.text = ""
        try:
            unfit = self._send(batch, own)
        except exporting.NotSent as error:
            self._failed(str(error))
        except Exception as error:  # what an exporter makes of something it cannot encode
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self._arrived(unfit)

    def _failed(self, reason: str) -> None:
        from .exporting import plain

        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._dropped = self._lane.dropped
            line = "action=collector_away signal=%s endpoint=%s reason=%r"
            logger.warning(line, self._to.signal, self._to.shown, plain(reason, self._to))
        self._lane.failed(now, random.random())

    def _arrived(self, unfit: int) -> None:
        now = time.monotonic()
        self._lane.arrived(now, unfit)
        if self._away_since is not None:
            away, dropped = now - self._away_since, self._lane.dropped - self._dropped
            self._away_since = None
            logger.info("action=collector_back signal=%s after_s=%.1f dropped=%d", self._to.signal, away, dropped)
