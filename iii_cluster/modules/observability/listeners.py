"""The functions that `log` and `trace` triggers call, and what each is told."""

import asyncio
import logging
import time
from collections.abc import Sequence

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.records import Log, Span

from . import lanes
from .devtools import Devtools
from .following import Following
from .lanes import LOG_INTERVAL, Lane, deliver, mark_of
from .logs import level_of
from .pages import Page
from .triggers import ALL, LOG, TRACE, TraceConfig, level_wanted, of_interest, trace_wanted

WINDOW = 0.3  # seconds in which traces are gathered for one call
MAX_TRACES = 1000  # of one call; of more the oldest are left out

log = logging.getLogger(__name__)

# Lines about deliveries that fail: telling of them fails, too, and that would be told again, for ever.
UNTOLD = (log.name, lanes.log.name)

_encode = msgspec.json.Encoder().encode


class LogListener:
    """One `log` trigger."""

    def __init__(self, engine: Engine, trigger: Trigger) -> None:
        self.trigger = trigger
        self.level = level_wanted(trigger)
        self.lane = Lane(engine, trigger)

    def close(self) -> None:
        self.lane.close()


class LogListeners:
    """Those of `log` triggers."""

    def __init__(self, engine: Engine) -> None:
        self._following = Following(engine, LOG, lambda trigger: LogListener(engine, trigger))
        self.wanted = self._following.any
        self.forget = self._following.forget

    def hear(self, records: Sequence[Log], page: Page) -> None:
        for record in records:
            if record.instrumentation_scope_name in UNTOLD:
                continue
            level, data = level_of(record), b""
            for listener in self._following.all():
                # A handler that writes logs would otherwise be called for its own, for ever.
                if listener.level in (ALL, level) and not (record.trace_id or "").startswith(listener.lane.mark):
                    data = data or _encode(record)
                    listener.lane.put(data, page)


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
        self._devtools = Devtools(engine)
        self._following = Following(engine, TRACE, lambda trigger: Gathering(engine, trigger, trace_wanted(trigger)))
        self.forget = self._following.forget

    async def wanted(self) -> bool:
        any_trigger = await self._following.any()
        return await self._devtools.wanted() or any_trigger

    def hear(self, records: Sequence[Span], page: Page) -> None:
        self._devtools.tell(records)
        gatherings = self._following.all()
        for span in records:
            if gatherings and of_interest(span):
                for gathering in gatherings:
                    gathering.hear(span, page)
