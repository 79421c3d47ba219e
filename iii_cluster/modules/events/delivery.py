"""One event and its triggers: whom it concerns, and calling them one after the other."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection

import msgspec

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules import calling
from iii_cluster.modules.conditions import Conditions
from iii_cluster.modules.engine import Engine, Watched
from iii_cluster.modules.spans import FanOut
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.tracing import Trace

from . import context
from .kind import Kind
from .patterns import Patterns
from .scripts import Entry, text_of

TRIGGER_PATIENCE = 2.0  # seconds to wait for a trigger that a writer has seen and this shard has not
MAX_VANISHED = 10_000  # triggers not waited for any more
LOG_INTERVAL = 10.0  # seconds between two lines about one trigger

log = logging.getLogger(__name__)

_decode_ids = msgspec.json.Decoder(list[str]).decode

Begun = dict[str, Awaitable[bytes]]  # deliveries of an earlier owner, by name -> the error they end with


class Delivery:
    """Of one kind of events, in one shard."""

    def __init__(self, engine: Engine, kind: Kind) -> None:
        self._engine = engine
        self._kind = kind
        self._patterns = Patterns(kind)
        self._conditions = Conditions(engine)
        self._stale = True
        self._changes = asyncio.Event()
        self._vanished: dict[str, None] = {}  # trigger ids, oldest first
        self._failures: dict[str, tuple[float, int]] = {}  # trigger id -> when it was logged, failures since
        self._watched: Watched = engine.watch(kind.name, self._changed)

    async def triggers(self, entry: Entry) -> list[Trigger]:
        """Those that the event concerns, as far as they are still there."""
        if not self._watched.known:
            await self._watched.until_known()
        self._load()
        if entry.triggers:
            ids = _decode_ids(entry.triggers)
            missing = [id for id in ids if self._patterns.get(id) is None and id not in self._vanished]
            if missing:
                await self._appear(missing)
        else:
            ids = self._patterns.matching(self._kind.parts(entry.event or b""))
        return [trigger for id in ids if (trigger := self._patterns.get(id)) is not None]

    async def deliver(self, outbox: str, entry: Entry, begun: Begun, owned: Callable[[], bool]) -> bool:
        """Calls all of them; what fails is logged, and the next one has its turn. False: the outbox was lost before."""
        triggers = await self.triggers(entry)
        names = [name_of(outbox, entry, trigger) for trigger in triggers]
        # One at a time: all before the last one that was begun have ended.
        first = max((at for at, name in enumerate(names) if name in begun), default=0)
        with FanOut(self._engine, f"{self._kind.name}_triggers", context.read(entry.context)) as fan_out:
            for name, trigger in list(zip(names, triggers, strict=True))[first:]:
                if not owned():
                    return False
                try:
                    if name in begun:
                        await self._outlast(begun[name])
                    elif entry.event is not None:
                        await self._call(trigger, entry.event, name, fan_out)
                except EngineError as error:
                    self._log(trigger, error, context.read(entry.context))
        for name in names:
            begun.pop(name, None)
        return True

    async def _call(self, trigger: Trigger, event: bytes, name: str, fan_out: FanOut) -> None:
        with fan_out.deliver(trigger.function) as span:
            if not await self._conditions.allow(trigger, event, span.trace):
                span.refused()
                return
            traceparent, baggage = span.trace
            await calling.call(
                self._engine,
                trigger.function,
                event,
                namespace=trigger.namespace,
                metadata=trigger.metadata,
                traceparent=traceparent,
                baggage=baggage,
                once=name,
                sent=span.sent,
            )

    async def _outlast(self, end: Awaitable[bytes]) -> None:
        limit = self._engine.settings.handler_timeout
        try:
            async with asyncio.timeout(limit):
                error = await asyncio.shield(end)
        except TimeoutError:
            raise EngineError(errors.TIMEOUT, f"no answer within {limit:g} s") from None
        if error:
            raise calling.HandlerError(error)

    async def _appear(self, ids: Collection[str]) -> None:
        """Returns when these are known, or are not going to be."""
        try:
            async with asyncio.timeout(TRIGGER_PATIENCE):
                while any(self._patterns.get(id) is None for id in ids):
                    await self._changes.wait()
                    self._load()
        except TimeoutError:
            for id in ids:
                if self._patterns.get(id) is None:
                    self._vanished[id] = None
            while len(self._vanished) > MAX_VANISHED:
                del self._vanished[next(iter(self._vanished))]

    def _changed(self) -> None:
        self._stale = True
        self._changes.set()
        self._changes = asyncio.Event()

    def _load(self) -> None:
        if self._stale:
            self._stale = False
            self._patterns.load(self._watched.all())

    def _log(self, trigger: Trigger, error: EngineError, trace: Trace) -> None:
        now = time.monotonic()
        at, more = self._failures.get(trigger.id, (-LOG_INTERVAL, 0))
        if now - at < LOG_INTERVAL:
            self._failures[trigger.id] = at, more + 1
            return
        if len(self._failures) >= MAX_VANISHED:
            self._failures.clear()
        self._failures[trigger.id] = now, 0
        log.warning(
            "action=trigger_failed type=%s trigger=%s function=%s code=%s error=%s more_since=%d",
            *(trigger.type, trigger.id, trigger.function, error.code, error.message, more),
            extra={"trace": trace},
        )


def name_of(outbox: str, entry: Entry, trigger: Trigger) -> str:
    """What the delivery to one trigger is called, by whoever owns the outbox."""
    return f"{outbox}:{text_of(entry.id)}:{trigger.id}"
