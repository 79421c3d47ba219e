"""Telemetry that workers send, as binary frames: it waits here until there is time to read it, and is bounded."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

from iii_cluster.cluster.tasks import end

from .config import Observability
from .fair import FairQueue
from .otlp.decode import LOGS, METRICS, SPANS, BadFrame, Record, log_of, metric_of, records, span_of
from .sampling import Sampler
from .spool import Spool

PREFIXES = (SPANS, METRICS, LOGS)
MAX_FRAME = 4 * 2**20  # bytes
MAX_FRAMES = 1000  # that wait
MAX_BYTES = 16 * 2**20  # of those that wait
SLICE = 0.002  # s of reading until others have their turn
SHARE = 0.1  # of the process's time that reading may take
LAST_SLICE = 0.1  # s of reading before the process ends
WARN_INTERVAL = 10.0  # s between two warnings

# Is in every span, or log, about once: what is dropped is not read.
_MARKS = {SPANS: b'"startTimeUnixNano"', LOGS: b'"severityNumber"', METRICS: b'"dataPoints"'}

logger = logging.getLogger(__name__)


class Intake:
    """Of one process. Frames are taken at once and read later, into the spool."""

    def __init__(
        self,
        spool: Spool,
        config: Observability,
        sampler: Sampler | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`clock` gives seconds."""
        self._spool = spool
        self._sampler = sampler or Sampler()
        self._live_spans = config.live_spans
        self._clock = clock
        self._wanted = {
            SPANS: config.enabled,
            METRICS: config.enabled and config.metrics_enabled,
            LOGS: config.enabled and config.logs_enabled,
        }
        self._readers = {SPANS: self._read_span, METRICS: self._read_metric, LOGS: self._read_log}
        self._waiting = FairQueue()
        self._reading: tuple[bytes, Iterator[Record]] | None = None  # the kind of a frame, and what is left of it
        self._task: asyncio.Task[None] | None = None
        self._warnings = 0  # since the last one that was logged
        self._warned = float("-inf")
        self.frames = 0
        self.bytes = 0
        self.dropped_frames = 0  # too large, or there was no room
        self.bad_frames = 0
        self.bad_records = 0  # of frames that were good

    @property
    def waiting_bytes(self) -> int:
        return self._waiting.bytes

    def frame(self, payload: bytes, sender: object = None) -> None:
        """One frame, with its prefix. Never raises; without room, the oldest of the sender with most are dropped."""
        kind = payload[:4]
        self.frames += 1
        self.bytes += len(payload)
        if not self._wanted.get(kind):
            return
        if len(payload) > MAX_FRAME:
            self._drop(payload)
            self._warn("too_large", f"{len(payload)} bytes")
            return
        waiting = self._waiting
        waiting.put(sender, payload)
        while len(waiting) > MAX_FRAMES or waiting.bytes > MAX_BYTES:
            self._drop(waiting.give_up(sender))
            self._warn("no_room", f"more comes than is read in {SHARE:.0%} of the time")
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Read on for a moment; what is left is lost."""
        if self._task is not None:
            await end(self._task)
            self._task = None
        self.read(LAST_SLICE)

    # -- reading

    async def _run(self) -> None:
        """Lives while there is something to read."""
        while self._waiting or self._reading is not None:
            began = self._clock()
            self.read(SLICE)
            await asyncio.sleep((self._clock() - began) * (1 / SHARE - 1))
        self._task = None

    def read(self, seconds: float) -> None:
        """Read what waits for so long, and until a record's end."""
        clock, now = self._clock, time.time_ns()
        deadline = clock() + seconds
        while True:
            if self._reading is None:
                if not self._waiting:
                    return
                self._open(self._waiting.take())
            else:
                kind, left = self._reading
                read = self._readers[kind]
                for record in left:
                    read(record, now)
                    if clock() >= deadline:
                        return
                self._reading = None
            if clock() >= deadline:
                return

    def _open(self, frame: bytes) -> None:
        try:
            self._reading = frame[:4], records(frame)
        except BadFrame as error:
            self.bad_frames += 1
            self._warn("bad_frame", str(error))

    def _read_span(self, record: Record, now: int) -> None:
        span = span_of(*record, now)
        if span is None:
            self._bad("span")
        elif (self._live_spans or not span.pending) and self._sampler.keep(span.trace_id, span.name, span.service_name):
            self._spool.span(span)

    def _read_log(self, record: Record, now: int) -> None:
        log = log_of(*record, now)
        if log is None:
            self._bad("log")
        else:
            self._spool.log(log)

    def _read_metric(self, record: Record, now: int) -> None:
        metric = metric_of(*record, now)
        if metric is None:
            self._bad("metric")
        elif metric.data_points:
            self._spool.metric(metric)

    def _bad(self, kind: str) -> None:
        self.bad_records += 1
        self._warn("bad_record", f"a {kind} that cannot be read")

    # -- what is lost

    def _drop(self, frame: bytes) -> None:
        self.dropped_frames += 1
        kind = frame[:4]
        count = frame.count(_MARKS[kind])
        self._spool.lost(
            spans=count if kind == SPANS else 0,
            logs=count if kind == LOGS else 0,
            metrics=count if kind == METRICS else 0,
        )

    def _warn(self, reason: str, detail: str) -> None:
        """At most one line per interval, whatever comes."""
        self._warnings += 1
        now = time.monotonic()
        if now - self._warned >= WARN_INTERVAL:
            logger.warning(
                "action=telemetry_%s count=%d detail=%r dropped_frames=%d",
                reason,
                self._warnings,
                detail,
                self.dropped_frames,
            )
            self._warned, self._warnings = now, 0
