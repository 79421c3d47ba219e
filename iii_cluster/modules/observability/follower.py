"""Passing on one kind of stored records, in their order, by the one shard that owns the task."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from redis.exceptions import ResponseError

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Unavailable

from .cursors import Cursors, Fenced
from .pages import Page, Pages

KEY = "observability:tail"  # whose slot's owner does it

POLL = 0.2  # seconds between looks for new records
RETRY = 1.0  # seconds until Redis is asked again
PAGE = 100  # records read at once
MAX_PAGES = 50  # that are not done with
LOG_INTERVAL = 30.0  # seconds between lines about the same trouble

T = TypeVar("T")
R = TypeVar("R", contravariant=True)

log = logging.getLogger(__name__)

Read = Callable[[str, int], Awaitable[tuple[str, list[T]]]]  # (after, count), as the store's


class Audience(Protocol[R]):
    async def wanted(self) -> bool:
        """Whether anybody wants to know."""
        ...

    def hear(self, records: Sequence[R], page: Page) -> None:
        """Begin to pass them on; `page.begin()` and `page.done()` for whatever takes time."""

    def forget(self) -> None:
        """Another shard goes on."""


class Follower(Generic[T]):
    """One kind of records. What was not done with when its shard died comes again: at least once."""

    def __init__(self, engine: Engine, cursors: Cursors, kind: str, read: Read[T], audience: Audience[T]) -> None:
        self._engine = engine
        self._cursors = cursors
        self._kind = kind
        self._read = read
        self._audience = audience
        self._pages = Pages()
        self._token = 0
        self._place = ""  # read up to here; "": nobody has wanted to know
        self._woken = asyncio.Event()
        self._logged = -LOG_INTERVAL
        self._task: asyncio.Task[None] | None = None
        engine.ownership.subscribe(self.wake)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self._lose()

    def wake(self) -> None:
        """Something may be different."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                pause = await self._step()
            except Fenced:
                self._lose()
                pause = RETRY
            except (Unavailable, ResponseError) as error:
                self._complain(error)
                pause = RETRY
            except Exception as error:  # nobody else would pass anything on
                self._complain(error)
                log.debug("action=telemetry_unheard kind=%s", self._kind, exc_info=True)
                pause = RETRY
            if pause:
                await self._wait(pause)

    async def _wait(self, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _step(self) -> float:
        """One look; returns how long (s) to wait before the next."""
        if not await self._owned():
            return RETRY
        await self._save()
        if not await self._audience.wanted():
            if self._place and not self._pages:
                await self._move("")
            return POLL
        if len(self._pages) >= MAX_PAGES:
            return POLL
        place, records = await self._read(self._place, PAGE)
        if not self._engine.ownership.token(KEY):
            return 0
        if records:
            page = self._pages.read(place)
            self._audience.hear(records, page)
            page.done()
            self._place = place
        elif place != self._place:
            if self._pages:  # where it goes on is known when these are done with
                self._pages.read(place).done()
                self._place = place
            else:
                await self._move(place)
        return 0 if len(records) == PAGE else POLL

    async def _owned(self) -> bool:
        token = self._engine.ownership.token(KEY)
        if token != self._token:
            self._lose()
            if token:
                self._place = await self._cursors.take(token, self._kind)
                self._token = token
        return bool(token)

    async def _save(self) -> None:
        passed = self._pages.passed()
        if passed:
            await self._cursors.move(self._token, self._kind, passed)

    async def _move(self, place: str) -> None:
        await self._cursors.move(self._token, self._kind, place)
        self._place = place

    def _lose(self) -> None:
        self._token = 0
        self._pages.clear()
        self._audience.forget()

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL:
            self._logged = now
            log.warning("action=telemetry_unheard kind=%s error=%r", self._kind, error)
