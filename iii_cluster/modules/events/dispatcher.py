"""The reading end of the outboxes, in shards."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from redis.exceptions import ResponseError

from iii_cluster.modules.engine import Engine
from iii_cluster.redis.commands import Commands, Unavailable

from .delivery import Delivery
from .kind import Kind
from .outbox import FULL, outboxes
from .reader import Reader
from .scripts import Scripts

POLL_INTERVAL = 1.0  # seconds between two looks at all outboxes: the wake-up of one may be lost
LOG_INTERVAL = 10.0  # seconds between two lines about full outboxes

log = logging.getLogger(__name__)


class Dispatcher:
    """Calls the targets of triggers for all events in outboxes that this shard owns."""

    def __init__(self, engine: Engine, kind: Kind, commands: Commands) -> None:
        """`commands`: the server the outboxes are on, the same as the writers'."""
        self._engine = engine
        self._outboxes = outboxes(kind.name)
        self._scripts = Scripts(commands, engine.prefix)
        self._delivery = Delivery(engine, kind)
        self._readers: dict[str, Reader] = {}  # by outbox
        self._moved = asyncio.Event()
        self._logged = -LOG_INTERVAL
        self._stopped = False
        self._poller: asyncio.Task[None] | None = None
        engine.on_nudge(kind.name, self._wake)
        engine.ownership.subscribe(self._changed)

    async def start(self) -> None:
        self._poller = asyncio.get_running_loop().create_task(self._poll())

    async def stop(self) -> None:
        """What is under way is left to the next owner."""
        self._stopped = True
        tasks = [task for reader in self._readers.values() for task in reader.stop()]
        self._readers.clear()
        if self._poller is not None:
            self._poller.cancel()
            tasks.append(self._poller)
        await asyncio.gather(*tasks, return_exceptions=True)

    def describe(self) -> Mapping[str, Any]:
        return {"events": sum(reader.lanes.held for reader in self._readers.values())}

    def _wake(self, outbox: str) -> None:
        token = 0 if self._stopped else self._engine.ownership.token(outbox)
        if not token:
            return
        reader = self._readers.get(outbox)
        if reader is None or reader.token != token:
            if reader is not None:
                reader.stop()
            reader = self._readers[outbox] = self._reader(outbox, token)
        reader.wake()

    def _reader(self, outbox: str, token: int) -> Reader:
        def lost() -> None:
            if self._readers.get(outbox) is reader:
                del self._readers[outbox]

        reader = Reader(self._engine, self._scripts, self._delivery, outbox, token, lost)
        return reader

    def _changed(self) -> None:
        """Slots came or went, or the node was fenced."""
        if self._stopped:
            return
        for outbox, reader in list(self._readers.items()):
            if self._engine.ownership.token(outbox) != reader.token:
                reader.stop()
                del self._readers[outbox]
        self._moved.set()

    async def _poll(self) -> None:
        while True:
            self._moved.clear()
            try:
                await self._look()
            except (Unavailable, ResponseError) as error:
                log.warning("action=outboxes_unread error=%s", error)
            except Exception:  # nobody else looks for what a lost nudge left
                log.exception("action=outboxes_unread")
            try:
                async with asyncio.timeout(POLL_INTERVAL):
                    await self._moved.wait()
            except TimeoutError:
                pass

    async def _look(self) -> None:
        owned = [outbox for outbox in self._outboxes if self._engine.ownership.token(outbox)]
        if not owned:
            return
        full = 0
        for outbox, length in zip(owned, await self._scripts.lengths(owned), strict=True):
            reader = self._readers.get(outbox)
            if length > (0 if reader is None else reader.lanes.held):
                self._wake(outbox)
            full += length >= FULL
        now = time.monotonic()
        if full and now - self._logged >= LOG_INTERVAL:
            self._logged = now
            log.error("action=events_dropped full_outboxes=%d limit=%d", full, FULL)
