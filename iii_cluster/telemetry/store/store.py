"""What the cluster keeps, read from anywhere: in pages, so that neither Redis nor this process halts for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from msgspec import Struct
from redis.exceptions import OutOfMemoryError

from iii_cluster.redis.commands import Commands

from ..config import Observability, TraceStorage
from ..records import Log, Metric, Span
from .encoding import decode_log, decode_metric, decode_span
from .names import Names
from .scripts import PICK, READ, RECORDS_EVICT, RECORDS_TRIM, SPANS_EVICT

PAGE = 500  # entries that are read or removed at once
PAGE_BYTES = 256 * 2**10  # that are read at once, and one record more
RECORD_BYTES = 64 * 2**20  # that all logs may take, and all metrics
NO_LIMIT = 2**53  # of a count or of bytes, for scripts

T = TypeVar("T")


class Status(Struct):
    """How much is kept, and what is known to be missing."""

    spans: int
    span_bytes: int  # that they take in Redis, about
    logs: int
    log_bytes: int
    metric_points: int
    metric_bytes: int
    known_dropped_spans: int  # by all processes, since the store was begun
    known_dropped_logs: int
    last_error: str  # of this process's writer; "": the last write went well


class Store:
    """Every method raises what `Commands.execute` does: Unavailable, or ResponseError."""

    def __init__(self, commands: Commands, prefix: str, config: Observability | None = None) -> None:
        """`prefix`: first part of all keys of the cluster."""
        storage = (config or Observability()).trace_storage or TraceStorage()
        self._pending_ns = storage.pending_max_age_seconds * 10**9
        self._commands = commands
        self._names = Names(prefix)
        self.last_error = ""  # set by who writes
        self.short = False  # of memory: nothing more is to be written

    # -- all of it

    async def spans(self, start_ns: int = 0, end_ns: int = 0) -> list[Span]:
        """Those that were going on at any time from `start_ns` to `end_ns` (0: no limit), in the order in which they
        were stored. One that ended while this read is there once, as ended; one that has gone on for too long is not:
        nobody will tell of its end."""
        found: dict[tuple[str, str], Span] = {}
        began = time.time_ns() - self._pending_ns
        async for page in self._pages(self._names.spans, decode_span):
            for span in page:
                start, end = span.start_time_unix_nano, span.end_time_unix_nano
                if (not end_ns or start <= end_ns) and (start >= began if span.pending else end >= start_ns):
                    key = span.trace_id, span.span_id
                    found.pop(key, None)
                    found[key] = span
        return list(found.values())

    async def trace(self, trace_id: str) -> list[Span]:
        """Of one trace, in the order in which they were stored."""
        ids: dict[bytes, None] = {}
        cursor: int | bytes = 0
        while True:
            # A small hash comes as a whole, a large one in parts in which fields may repeat.
            cursor, part = await self._commands.execute(
                "HSCAN", self._names.trace + trace_id, cursor, "COUNT", PAGE, again=True
            )
            ids.update(dict.fromkeys(part[1::2]))
            if int(cursor) == 0:
                break
        left = sorted(ids, key=_place)
        spans: list[Span] = []
        while left:
            page = await self._commands.run(PICK, [self._names.spans], [PAGE_BYTES, *left[:PAGE]], again=True)
            left = left[page[0] :]
            spans += map(decode_span, page[1:])
        began = time.time_ns() - self._pending_ns
        return [span for span in spans if not span.pending or span.start_time_unix_nano >= began]

    async def logs(self) -> list[Log]:
        """In the order in which they were stored."""
        return [log async for page in self._pages(self._names.logs, decode_log) for log in page]

    async def metrics(self) -> list[Metric]:
        """In the order in which they were received."""
        return [metric async for page in self._pages(self._names.metrics, decode_metric) for metric in page]

    async def _pages(self, stream: str, decode: Callable[[bytes], T]) -> AsyncIterator[list[T]]:
        """What was there when it began."""
        after, end = "-", "+"
        while True:
            newest, last, *bodies = await self._read(stream, after, end, PAGE)
            yield [decode(body) for body in bodies]
            if not last:
                return
            after, end = last.decode(), newest.decode() if end == "+" else end

    async def _read(self, stream: str, after: str, end: str, count: int) -> list[bytes]:
        reply: list[bytes] = await self._commands.run(READ, [stream], [after, end, count, PAGE_BYTES], again=True)
        return reply

    # -- what is new

    async def tail_spans(self, after: str, count: int = PAGE) -> tuple[str, list[Span]]:
        """What was stored after the place `after`, and the place to go on from. "": from now on, "0": from the oldest.

        One that still went on comes again when it has ended. If Redis lost what it had, this goes on with what comes.
        """
        return await self._tail(self._names.spans, after, count, decode_span)

    async def tail_logs(self, after: str, count: int = PAGE) -> tuple[str, list[Log]]:
        """Likewise."""
        return await self._tail(self._names.logs, after, count, decode_log)

    async def tail_metrics(self, after: str, count: int = PAGE) -> tuple[str, list[Metric]]:
        """Likewise."""
        return await self._tail(self._names.metrics, after, count, decode_metric)

    async def _tail(self, stream: str, after: str, count: int, decode: Callable[[bytes], T]) -> tuple[str, list[T]]:
        start = "-" if after == "0" else after
        newest, last, *bodies = await self._read(stream, start, "+", min(count, PAGE))
        if last:
            return last.decode(), [decode(body) for body in bodies]
        if after in ("", "0") or _place(newest) < _place(after.encode()):
            return newest.decode(), []  # the latter: another server, or one that was emptied
        return after, []

    # -- care

    async def clear_spans(self) -> None:
        """Removes what is there now."""
        newest, *_ = await self._read(self._names.spans, "", "+", 1)
        ms, number = _place(newest)
        while await self.evict_spans(NO_LIMIT, NO_LIMIT, NO_LIMIT, f"{ms}-{number + 1}"):
            pass

    async def clear_logs(self) -> None:
        """Removes what is there now."""
        await self._expire(self._names.logs, NO_LIMIT)

    async def clear_metrics(self) -> None:
        """Removes what is there now."""
        await self._expire(self._names.metrics, NO_LIMIT)

    async def evict_spans(self, count: int, size: int, low: int, oldest: str) -> int:
        """Removes a page of the oldest while there are more than `count`, they take more than `size` bytes (then down
        to `low`), or were stored before the place `oldest`; returns how many went."""
        names = self._names
        keys = [names.spans, names.numbers(names.spans), names.trace]
        removed: int = await self._commands.run(SPANS_EVICT, keys, [count, size, low, oldest, PAGE], again=True)
        return removed

    async def expire_logs(self, before_ms: int) -> None:
        """Removes those of events before that."""
        await self._expire(self._names.logs, before_ms)

    async def expire_metrics(self, before_ms: int) -> None:
        """Removes those received before that."""
        await self._expire(self._names.metrics, before_ms)

    async def _expire(self, stream: str, before_ms: int) -> None:
        keys = [stream, self._names.numbers(stream)]
        newest, *_ = await self._read(stream, "", "+", 1)
        after = b"-"
        while after:
            after, _ = await self._commands.run(RECORDS_EVICT, keys, [after, newest, PAGE, before_ms], again=True)

    async def trim_logs(self, count: int, size: int) -> None:
        """Removes the oldest while there are more than `count`, or they take more than `size` bytes."""
        await self._trim(self._names.logs, count, size)

    async def trim_metrics(self, points: int, size: int) -> None:
        """Likewise, of points."""
        await self._trim(self._names.metrics, points, size)

    async def _trim(self, stream: str, most: int, size: int) -> None:
        keys, before = [stream, self._names.numbers(stream)], NO_LIMIT
        while most < (kept := await self._commands.run(RECORDS_TRIM, keys, [most, size, PAGE], again=True)) < before:
            before = kept

    async def turn_to(self, duty: str, seconds: int) -> bool:
        """True for one process of the cluster per so many seconds; for all where Redis is too full to note it."""
        try:
            return bool(await self._commands.execute("SET", self._names.turn(duty), "1", "NX", "EX", seconds))
        except OutOfMemoryError:
            return True

    async def memory(self) -> float:
        """The part of the memory Redis may use that it uses; 0 where it may use all there is."""
        reply: bytes = await self._commands.execute("INFO", "memory", again=True)
        lines = (line.partition(b":") for line in bytes(reply).splitlines())
        told = {name: value for name, _, value in lines}
        most = int(told.get(b"maxmemory", 0))
        return int(told.get(b"used_memory", 0)) / most if most else 0.0

    async def shrink(self, part: float) -> None:
        """Keeps the latest `part` (0 to 1) of everything."""
        status = await self.status()
        size = int(status.span_bytes * part)
        while await self.evict_spans(int(status.spans * part), size, size, "0-0"):
            pass
        await self._trim(self._names.logs, int(status.logs * part), NO_LIMIT)
        await self._trim(self._names.metrics, int(status.metric_points * part), NO_LIMIT)

    async def now_ms(self) -> int:
        """Of Redis' clock, by which things are stored."""
        seconds, micros = await self._commands.execute("TIME", again=True)
        return int(seconds) * 1000 + int(micros) // 1000

    async def status(self) -> Status:
        """Costs one round trip."""
        names, execute = self._names, self._commands.execute
        spans, span_numbers, logs, log_numbers, metric_numbers = await asyncio.gather(
            execute("XLEN", names.spans, again=True),
            execute("HMGET", names.numbers(names.spans), "bytes", "dropped", again=True),
            execute("XLEN", names.logs, again=True),
            execute("HMGET", names.numbers(names.logs), "bytes", "dropped", again=True),
            execute("HMGET", names.numbers(names.metrics), "weight", "bytes", again=True),
        )
        span_bytes, dropped_spans = (int(number or 0) for number in span_numbers)
        log_bytes, dropped_logs = (int(number or 0) for number in log_numbers)
        points, metric_bytes = (int(number or 0) for number in metric_numbers)
        return Status(
            spans, span_bytes, logs, log_bytes, points, metric_bytes, dropped_spans, dropped_logs, self.last_error
        )


def _place(entry: bytes) -> tuple[int, int]:
    """An id of a stream, to compare."""
    ms, _, number = entry.partition(b"-")
    return int(ms), int(number or 0)
