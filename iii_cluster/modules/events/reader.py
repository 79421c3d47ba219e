"""One outbox in its owner's hands."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ResponseError

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Unavailable

from .delivery import Delivery, name_of
from .lanes import Lanes
from .scripts import Entry, EntryId, Fenced, Scripts

MAX_RUNNING = 64  # events of one outbox dispatched at the same time
MAX_WAITING = 10_000  # of one outbox, in memory
MAX_WAITING_BYTES = 4 * 2**20
RETRY_DELAY = 0.5  # seconds until Redis is asked again
ADOPT_TRIES = 5  # asking gateways of which some did not answer
ADOPT_DELAY = 1.0  # seconds between two of them: by then a dead one has left the map

BEGINNING: EntryId = (0, 0)

T = TypeVar("T")

log = logging.getLogger(__name__)


class Reader:
    """From `wake` on until all events are dispatched; again with the next `wake`.

    `lost` is called when somebody else owns the outbox.
    """

    def __init__(
        self, engine: Engine, scripts: Scripts, delivery: Delivery, outbox: str, token: int, lost: Callable[[], None]
    ) -> None:
        self.outbox = outbox
        self.token = token
        self.lanes = Lanes(MAX_RUNNING, MAX_WAITING, MAX_WAITING_BYTES)
        self._engine = engine
        self._scripts = scripts
        self._delivery = delivery
        self._lost = lost
        self._last: EntryId | None = None  # read
        self._inherited: EntryId | None = None  # the newest one that an earlier owner may know; None: not read yet
        self._awake = False
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: dict[str, Awaitable[bytes]] = {}
        self._stopped = False

    def wake(self) -> None:
        """There may be further events."""
        if self._stopped:
            return
        self._awake = True
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())

    def stop(self) -> list[asyncio.Task[None]]:
        """At once. What is under way is the next owner's; the tasks are about to end."""
        self._stopped = True
        tasks = list(self._tasks)
        if self._reading is not None:
            tasks.append(self._reading)
        for task in tasks:
            task.cancel()
        return tasks

    async def _read(self) -> None:
        try:
            while self._awake and self.lanes.room:
                self._awake = False
                try:
                    await self._read_page()
                except Fenced:
                    self._give_up()
                except (Unavailable, ResponseError) as error:
                    log.warning("action=outbox_unread outbox=%s error=%s", self.outbox, error)
                    await asyncio.sleep(RETRY_DELAY)
                    self._awake = True
                except Exception:
                    self._fail()
        finally:
            self._reading = None

    async def _read_page(self) -> None:
        last = self._last
        if last is not None and not self.lanes.held:
            last = BEGINNING  # whatever is there is not dispatched; ids may begin anew when Redis lost its memory
        newest, entries = await self._scripts.read(self.outbox, self.token, last)
        if self._inherited is None:
            self._inherited = newest
        if not entries:
            return
        self._awake = True
        self._last = entries[-1].id
        suspects = [entry for entry in entries if self.lanes.add(entry) and entry.id <= self._inherited]
        if suspects:
            await self._adopt(suspects)
        self._start()

    async def _adopt(self, entries: list[Entry]) -> None:
        """What an earlier owner has begun. It has removed each event of a key before it began the next one, so only
        the first of each key can be among them."""
        triggers = await asyncio.gather(*(self._delivery.triggers(entry) for entry in entries))
        names = [
            name_of(self.outbox, entry, trigger)
            for entry, concerned in zip(entries, triggers, strict=True)
            for trigger in concerned
        ]
        ends: dict[str, asyncio.Future[bytes]] = {}

        def done(name: str, error: bytes) -> None:
            end = ends.setdefault(name, loop.create_future())
            if not end.done():
                end.set_result(error)

        loop = asyncio.get_running_loop()
        for attempt in range(ADOPT_TRIES if names else 0):
            if attempt:
                await asyncio.sleep(ADOPT_DELAY)
            adopted = await self._engine.adopt(names, done)
            for name, error in adopted.ended.items():
                done(name, error)
            for name in adopted.serving:
                ends.setdefault(name, loop.create_future())
            if adopted.complete:
                break
        if ends:
            log.info("action=deliveries_adopted outbox=%s count=%d", self.outbox, len(ends))
        self._begun |= ends

    def _start(self) -> None:
        while not self._stopped and (entry := self.lanes.take()) is not None:
            task = asyncio.get_running_loop().create_task(self._dispatch(entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _dispatch(self, entry: Entry) -> None:
        try:
            await self._deliver(entry)
        except Exception:
            self._fail()

    async def _deliver(self, entry: Entry) -> None:
        complete = True
        if entry.event is None and (fetched := await self._persist(self._fetch, entry)) is not None:
            entry = entry._replace(event=fetched[0], context=fetched[1])
        event = entry.event
        if event is not None and len(event) > self._engine.settings.max_message_bytes:
            log.warning("action=event_too_large outbox=%s bytes=%d", self.outbox, len(event))
        elif event is not None:
            try:
                complete = await self._delivery.deliver(self.outbox, entry, self._begun, self._owned)
            except Exception:
                log.exception("action=dispatch_failed outbox=%s", self.outbox)
        if not complete:
            return
        await self._persist(self._remove, entry)
        self.lanes.ended(entry)
        self._start()
        if self._awake and self.lanes.room:
            self.wake()

    async def _fetch(self, entry: Entry) -> tuple[bytes, bytes] | None:
        return await self._scripts.event(self.outbox, entry.id)

    async def _remove(self, entry: Entry) -> None:
        await self._scripts.done(self.outbox, self.token, entry.id)

    async def _persist(self, step: Callable[[Entry], Awaitable[T]], entry: Entry) -> T:
        """Redis is asked until it answers: an event that is not removed must not be followed by the next of its key."""
        while True:
            try:
                return await step(entry)
            except Fenced:
                self._give_up()
                raise asyncio.CancelledError from None
            except (Unavailable, ResponseError) as error:
                log.warning("action=outbox_stuck outbox=%s error=%s", self.outbox, error)
                await asyncio.sleep(RETRY_DELAY)

    def _owned(self) -> bool:
        """Whether the outbox is still this node's. If not, its owner begins with what was not removed."""
        if self._engine.ownership.token(self.outbox) != self.token:
            self._give_up()
        return not self._stopped

    def _fail(self) -> None:
        """Something is wrong here: another reader begins with what was not removed."""
        if not self._stopped:
            log.exception("action=outbox_failed outbox=%s", self.outbox)
            self.stop()
            self._lost()

    def _give_up(self) -> None:
        if not self._stopped:
            log.info("action=outbox_lost outbox=%s", self.outbox)
            self.stop()
            self._lost()
