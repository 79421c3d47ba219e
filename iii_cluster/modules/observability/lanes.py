"""Deliveries to one trigger: a few at a time, a bounded number waiting."""

import asyncio
import logging
import time
from collections import deque
from functools import partial
from secrets import token_hex
from zlib import crc32

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules import calling
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError

from .pages import Page

MAX_WAITING = 1024  # records for one trigger; of more the oldest are not delivered
AT_ONCE = 16  # deliveries to one trigger
LOG_INTERVAL = 30.0  # seconds between two lines about one trigger

log = logging.getLogger(__name__)


def mark_of(trigger: str) -> str:
    """How trace ids begin of what deliveries to a trigger cause: 8 hex digits. Every node says the same."""
    return f"{crc32(trigger.encode()) or 1:08x}"


def context_of(trigger: str) -> bytes:
    """A traceparent for one delivery. It is not sampled: telling of spans makes none."""
    return f'"00-{mark_of(trigger)}{token_hex(12)}-{token_hex(7)}01-00"'.encode()


class Lane:
    """Of one trigger."""

    def __init__(self, engine: Engine, trigger: Trigger) -> None:
        self.trigger = trigger
        self.mark = mark_of(trigger.id)
        self._engine = engine
        self._waiting: deque[tuple[bytes, Page]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._left_out = 0
        self._failed = 0
        self._logged = -LOG_INTERVAL

    def put(self, data: bytes, page: Page) -> None:
        page.begin()
        self._waiting.append((data, page))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()[1].done()
            self._left_out += 1
            self._say("too many")
        self._go_on()

    def close(self) -> None:
        """Nothing more is delivered."""
        while self._waiting:
            self._waiting.popleft()[1].done()
        for task in self._running:
            task.cancel()

    def _go_on(self) -> None:
        while self._waiting and len(self._running) < AT_ONCE:
            data, page = self._waiting.popleft()
            task = asyncio.get_running_loop().create_task(self._deliver(data))
            self._running.add(task)
            task.add_done_callback(partial(self._ended, page))

    def _ended(self, page: Page, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        page.done()
        self._go_on()

    async def _deliver(self, data: bytes) -> None:
        try:
            await deliver(self._engine, self.trigger, data)
        except EngineError as error:
            self._failed += 1
            self._say(error.code)

    def _say(self, why: str) -> None:
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL:
            self._logged = now
            log.info(
                "action=trigger_behind type=%s trigger=%s function=%s why=%s failed=%d left_out=%d",
                *(self.trigger.type, self.trigger.id, self.trigger.function, why, self._failed, self._left_out),
            )


async def deliver(engine: Engine, trigger: Trigger, data: bytes) -> None:
    """Raises EngineError."""
    await calling.call(
        engine,
        trigger.function,
        data,
        namespace=trigger.namespace,
        metadata=trigger.metadata,
        traceparent=context_of(trigger.id),
    )
