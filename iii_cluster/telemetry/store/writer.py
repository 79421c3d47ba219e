"""Brings what the pipeline offers to Redis, a little at a time; what Redis does not take in time is dropped."""

import asyncio
import logging
import time
from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError

from iii_cluster.cluster.outage import Outage
from iii_cluster.redis.commands import Argument, Commands, Unavailable
from iii_cluster.redis.script import Script

from ..config import Observability, TraceStorage
from ..records import Log, Metric, Span
from ..shedding import Shedder
from ..spool import Batch
from .buffer import Buffer
from .encoding import encode_log, encode_metric, encode_span, log_size, metric_size, span_size
from .names import Names
from .scripts import RECORDS_WRITE, SPANS_WRITE
from .store import RECORD_BYTES, Store

SPANS_PER_SECOND = 2000  # that one process stores
LOGS_PER_SECOND = 1000  # likewise
INDEX_MARGIN = 3600  # s that the index of a trace may outlive its last span, if nobody removed it
RETRY = 1.0  # s between attempts after a failure
STOP_TIME = 1.0  # s to write what is left

logger = logging.getLogger(__name__)


class StoreWriter:
    """An outlet of the pipeline. Begins to write when it is made."""

    def __init__(self, commands: Commands, prefix: str, config: Observability, store: Store | None = None) -> None:
        """`prefix`: first part of all keys of the cluster. `store` shows the last error in its status."""
        self._commands = commands
        self._names = Names(prefix)
        self._config = config
        self._store = store
        self._shedder = Shedder(SPANS_PER_SECOND)
        self._log_allowance = float(LOGS_PER_SECOND)
        self._logs_at = time.monotonic()
        self.spans: Buffer[Span] = Buffer(span_size, _span_arguments)
        self.logs: Buffer[Log] = Buffer(log_size, _log_arguments)
        self.metrics: Buffer[Metric] = Buffer(metric_size, _metric_arguments)
        self._refusals = Outage(logger, "telemetry_store_write")
        self._failing = False
        self._work = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def offer(self, batch: Batch) -> None:
        """Takes what of it is for the store; never waits. The batch is not changed."""
        config, now = self._config, time.monotonic()
        if self._short:
            self._leave_out(batch)
            return
        if batch.spans and config.exporter != "otlp":
            kept = self._shedder.shed(batch.spans, now, self.spans.room)
            self.spans.drop(len(batch.spans) - len(kept))
            self.spans.put(kept)
        if batch.logs and config.logs_exporter != "otlp":
            self.logs.put(self._affordable(batch.logs, now))
        if batch.metrics and config.metrics_exporter != "otlp":
            self.metrics.put(batch.metrics)
        if self._pending:
            self._work.set()

    @property
    def _short(self) -> bool:
        return self._store is not None and self._store.short

    def _leave_out(self, batch: Batch) -> None:
        """Redis has memory left for others only."""
        self.spans.drop(len(batch.spans) if self._config.exporter != "otlp" else 0)
        self.logs.drop(len(batch.logs) if self._config.logs_exporter != "otlp" else 0)
        self.metrics.drop(len(batch.metrics) if self._config.metrics_exporter != "otlp" else 0)
        self._failed(OutOfMemoryError("the memory that Redis has left is for others"))

    def lost(self, spans: int, logs: int) -> None:
        """So many were dropped on their way here."""
        self.spans.drop(spans)
        self.logs.drop(logs)
        self._work.set()

    def dropped(self) -> dict[str, int]:
        """By signal."""
        return {"spans": self.spans.dropped, "logs": self.logs.dropped, "metrics": self.metrics.dropped}

    def _affordable(self, logs: list[Log], now: float) -> list[Log]:
        """The newest, within what a process may store per second."""
        allowance = self._log_allowance + (now - self._logs_at) * LOGS_PER_SECOND
        self._logs_at = now
        allowed = int(min(allowance, LOGS_PER_SECOND))
        excess = max(0, len(logs) - allowed)
        self.logs.drop(excess)
        self._log_allowance = min(allowance, LOGS_PER_SECOND) - (len(logs) - excess)
        return logs[excess:]

    @property
    def _pending(self) -> bool:
        return self.spans.pending or self.logs.pending or self.metrics.pending

    async def stop(self) -> None:
        """Write what waits, unless Redis is away; what is left is lost."""
        try:
            async with asyncio.timeout(STOP_TIME):
                while self._pending and not self._failing and not self._short:
                    self._work.set()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pass
        self._task.cancel()
        await asyncio.wait([self._task])

    # -- to Redis

    async def _run(self) -> None:
        config, names = self._config, self._names
        storage = config.trace_storage or TraceStorage()
        low = int(storage.memory_max_bytes * storage.memory_low_watermark_ratio)
        index = storage.retention_seconds + INDEX_MARGIN
        span_keys = [names.spans, names.numbers(names.spans), names.trace]
        span_limits: list[Argument] = [config.memory_max_spans, storage.memory_max_bytes, low, index]
        while True:
            await self._work.wait()
            self._work.clear()
            if self._short:
                continue
            try:
                while self._pending:
                    # A span that is written twice is kept once; a log would be kept, and told of, twice.
                    await self._write(self.spans, SPANS_WRITE, span_keys, span_limits, again=True)
                    limits: list[Argument] = [config.logs_max_count, RECORD_BYTES]
                    await self._write(self.logs, RECORDS_WRITE, [names.logs, names.numbers(names.logs)], limits)
                    limits = [config.metrics_max_count, RECORD_BYTES]
                    await self._write(
                        self.metrics, RECORDS_WRITE, [names.metrics, names.numbers(names.metrics)], limits
                    )
                    self._worked()
            except (Unavailable, ResponseError) as error:
                self._failed(error)
                await asyncio.sleep(RETRY)
                self._work.set()

    async def _write(
        self, buffer: Buffer[Any], script: Script, keys: list[str], limits: list[Argument], *, again: bool = False
    ) -> None:
        """One chunk."""
        if not buffer.pending:
            return
        records, count = buffer.chunk()
        lost = buffer.untold()
        try:
            await self._commands.run(script, keys, [*limits, lost, *records], again=again)
        except Unavailable as error:
            buffer.not_told(lost)
            if again or not error.maybe:
                buffer.put_back(records, count)
            else:
                buffer.drop(count)
            raise
        except BaseException:  # refused: Redis is full, for one
            buffer.not_told(lost)
            buffer.drop(count)
            raise
        buffer.written += count

    def _worked(self) -> None:
        self._failing = False
        self._refusals.worked(time.monotonic())
        if self._store is not None:
            self._store.last_error = ""

    def _failed(self, error: Exception) -> None:
        self._failing = True
        if isinstance(error, ResponseError):  # of servers that cannot be reached the commands tell
            self._refusals.failed(time.monotonic(), error)
        if self._store is not None:
            self._store.last_error = str(error)


def _span_arguments(span: Span) -> tuple[Argument, ...]:
    return span.trace_id, span.span_id, "1" if span.pending else "", encode_span(span)


def _log_arguments(log: Log) -> tuple[Argument, ...]:
    ns = log.timestamp_unix_nano or log.observed_timestamp_unix_nano
    return 1, ns // 1_000_000, encode_log(log)


def _metric_arguments(metric: Metric) -> tuple[Argument, ...]:
    return max(1, len(metric.data_points)), metric.timestamp_unix_nano // 1_000_000, encode_metric(metric)
