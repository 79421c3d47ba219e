"""Registrations of workers under rules wait in line, per connection: for hooks, and for the worker's namespace."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec import Raw

from gateway.worker import Worker
from iii_cluster.protocol import messages

from .guarded import Guarded

log = logging.getLogger(__name__)

# How long registrations wait for the worker to announce its namespace, seconds; then it is `default`.
GRACE = 5.0
# What may wait behind a registration that is being decided, of one worker. Beyond it its socket is not read.
MAX_WAITING = 1000
MAX_WAITING_BYTES = 4 * 2**20
# What may wait for an announcement, which must be read: beyond it frames are dropped.
MAX_HELD = 100_000
MAX_HELD_BYTES = 32 * 2**20

_FRAME = 200  # bytes of a frame that are in none of its members


class Line:
    """One line per connection. Answers, pings and whatever need not wait pass by."""

    def __init__(self, apply: Callable[[Worker, messages.Message], Awaitable[None]]) -> None:
        """`apply` handles the first in line; the next one waits for it."""
        self._apply = apply
        self._running: set[asyncio.Task[None]] = set()

    def put(self, worker: Worker, message: messages.Message) -> None:
        guarded = guarded_of(worker)
        size = _size(message)
        if guarded.held and (len(guarded.waiting) >= MAX_HELD or guarded.size + size > MAX_HELD_BYTES):
            worker.drop(type(message).__name__.lower(), "too much waits for the announcement of its namespace")
            return
        guarded.waiting.append(message)
        guarded.size += size
        _pause_if_full(worker, guarded)
        if not guarded.moving:
            guarded.moving = True
            task = asyncio.create_task(self._move(worker, guarded))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _move(self, worker: Worker, guarded: Guarded) -> None:
        try:
            await _announced(worker, guarded)
            while guarded.waiting and not worker.gone:
                message = guarded.waiting[0]
                try:
                    await self._apply(worker, message)
                except Exception:
                    log.exception("action=frame_failed worker=%s frame=%s", worker.id, type(message).__name__)
                guarded.waiting.popleft()
                guarded.size -= _size(message)
                _pause_if_full(worker, guarded)
        finally:
            guarded.waiting.clear()  # all done, or the worker is gone
            guarded.size = 0
            guarded.moving = False
            _pause_if_full(worker, guarded)

    def close(self) -> None:
        """What still waits comes to nothing."""
        for task in self._running:
            task.cancel()


async def _announced(worker: Worker, guarded: Guarded) -> None:
    """Returns when the namespace is known, or the worker is gone."""
    allowed = guarded.access.namespaces
    while guarded.held and not worker.gone:
        try:
            async with asyncio.timeout(GRACE):
                await guarded.released.wait()
        except TimeoutError:
            if not allowed or "default" in allowed:
                worker.announced = True  # a later announcement cannot move what hooks were asked about
                guarded.release()
            else:
                worker.drop("registration", "it has not announced any of its namespaces")


def _pause_if_full(worker: Worker, guarded: Guarded) -> None:
    full = len(guarded.waiting) > MAX_WAITING or guarded.size > MAX_WAITING_BYTES
    if full and not guarded.paused and not guarded.held:
        guarded.paused = True
        worker.outlet.pause()
    elif guarded.paused and not full:
        guarded.paused = False
        worker.outlet.resume()


def _size(message: messages.Message) -> int:
    members = (getattr(message, name) for name in message.__struct_fields__)
    return _FRAME + sum(_size_of(member) for member in members)


def _size_of(member: object) -> int:
    if isinstance(member, Raw):
        return len(bytes(member))
    return len(member) if isinstance(member, str) else 0


def guarded_of(worker: Worker) -> Guarded:
    assert worker.guarded is not None
    return worker.guarded
