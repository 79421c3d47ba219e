"""The functions that `log` and `trace` triggers call, and what each is told."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.records import Log, Span

from . import lanes
from .devtools import Devtools
from .lanes import LOG_INTERVAL, Lane, deliver, mark_of
from .logs import level_of
from .pages import Page
from .triggers import ALL, LOG, TRACE, TraceConfig, level_wanted, of_interest, trace_wanted

WINDOW = 0.3  # seconds in which traces are gathered for one call
MAX_TRACES = 1000  # of one call; of more the oldest are left out

log = logging.getLogger(__name__)

# Lines about deliveries that fail: telling of them fails, too, and that would be told again, for ever.
UNTOLD = (log.name, lanes.log.name)

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class LogListeners:
    """Those of `log` triggers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lanes: dict[str, tuple[str, Lane]] = {}  # by trigger: its level
        self._stale = True
        self._watched = engine.watch(LOG, self._changed)

    async def wanted(self) -> bool:
        if not self._watched.known:
            await self._watched.until_known()
        if self._stale:
            self._stale = False
            self._load(self._watched.all())
        return bool(self._lanes)

    def hear(self, records: Sequence[Log], page: Page) -> None:
        for record in records:
            if record.instrumentation_scope_name in UNTOLD:
                continue
            level, data = level_of(record), b""
            for wanted, lane in self._lanes.values():
                # A handler that writes logs would otherwise be called for its own, for ever.
                if wanted in (ALL, level) and not (record.trace_id or "").startswith(lane.mark):
                    data = data or _encode(record)
                    lane.put(data, page)

    def forget(self) -> None:
        for _, lane in self._lanes.values():
            lane.close()
        self._lanes.clear()
        self._stale = True

    def _changed(self) -> None:
        self._stale = True

    def _load(self, triggers: Iterable[Trigger]) -> None:
        old, self._lanes = self._lanes, {}
        for trigger in triggers:
            level = _read(level_wanted, trigger)
            if level is None:
                continue
            known = old.pop(trigger.id, None)
            if known is not None and known[1].trigger != trigger:
                known[1].close()
                known = None
            self._lanes[trigger.id] = level, known[1] if known is not None else Lane(self._engine, trigger)
        for _, lane in old.values():
            lane.close()


class Gathering:
    """Of one `trace` trigger: the traces of the next call."""

    def __init__(self, engine: Engine, trigger: Trigger, config: TraceConfig) -> None:
        self.trigger = trigger
        self._config = config
        self._mark = mark_of(trigger.id)
        self._engine = engine
        self._traces: dict[str, None] = {}
        self._pages: list[Page] = []
        self._telling: asyncio.Task[None] | None = None
        self._failed = 0
        self._logged = -LOG_INTERVAL

    def hear(self, span: Span, page: Page) -> None:
        if not self._config.fits(span) or span.trace_id.startswith(self._mark):
            return
        self._traces.pop(span.trace_id, None)
        self._traces[span.trace_id] = None
        if len(self._traces) > MAX_TRACES:
            del self._traces[next(iter(self._traces))]
        if not self._pages or self._pages[-1] is not page:
            page.begin()
            self._pages.append(page)
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        try:
            while self._traces:
                await asyncio.sleep(WINDOW)
                traces, self._traces = self._traces, {}
                pages, self._pages = self._pages, []
                try:
                    await deliver(self._engine, self.trigger, _encode({"trace_ids": list(traces)}))
                except EngineError as error:
                    self._say(error.code)
                finally:
                    for page in pages:
                        page.done()
        finally:
            self._telling = None

    def _say(self, code: str) -> None:
        self._failed += 1
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL:
            self._logged = now
            named = TRACE, self.trigger.id, self.trigger.function
            log.info(
                "action=trigger_failed type=%s trigger=%s function=%s code=%s failed=%d", *named, code, self._failed
            )

    def close(self) -> None:
        """Nothing more is told."""
        for page in self._pages:
            page.done()
        self._pages.clear()
        self._traces.clear()
        if self._telling is not None:
            self._telling.cancel()


class SpanListeners:
    """Those of `trace` triggers, and the live streams."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._triggers: dict[str, Gathering] = {}
        self._stale = True
        self._devtools = Devtools(engine)
        self._watched = engine.watch(TRACE, self._changed)

    async def wanted(self) -> bool:
        if not self._watched.known:
            await self._watched.until_known()
        if self._stale:
            self._stale = False
            self._load(self._watched.all())
        return await self._devtools.wanted() or bool(self._triggers)

    def hear(self, records: Sequence[Span], page: Page) -> None:
        self._devtools.tell(records)
        for span in records:
            if self._triggers and of_interest(span):
                for gathering in self._triggers.values():
                    gathering.hear(span, page)

    def forget(self) -> None:
        for gathering in self._triggers.values():
            gathering.close()
        self._triggers.clear()
        self._stale = True

    def _changed(self) -> None:
        self._stale = True

    def _load(self, triggers: Iterable[Trigger]) -> None:
        old, self._triggers = self._triggers, {}
        for trigger in triggers:
            config = _read(trace_wanted, trigger)
            known = old.pop(trigger.id, None)
            if known is not None and known.trigger != trigger:
                known.close()
                known = None
            if config is not None:
                self._triggers[trigger.id] = known or Gathering(self._engine, trigger, config)
        for gathering in old.values():
            gathering.close()


def _read(read: Callable[[Trigger], T], trigger: Trigger) -> T | None:
    """None for what only another version of the engine lets pass."""
    try:
        return read(trigger)
    except EngineError:
        return None
