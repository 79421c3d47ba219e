"""Updates of stored values by compare-and-set: those of one key take turns, and share them when there are many."""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, Protocol

from iii_cluster.telemetry.tracing import NO_TRACE, Trace

from .ops import Op, OpError
from .text import BadUpdate, updated

MAX_STEPS = 64  # updates of one turn
MAX_STEP_BYTES = 2**20  # of all new values of one turn, if they are more than one
STOPPED = "the process stops"


class Stored(Protocol):
    """The stored value of one key."""

    async def read(self) -> bytes | None: ...

    async def swap(
        self, expected: bytes | None, steps: Sequence[bytes], traces: Sequence[Trace]
    ) -> tuple[bool, bytes | None]:
        """Replace `expected` by the last of `steps`, in one move, telling of each of them, each in the trace of whoever
        asked for it. (False, what is there) if it is something else."""


class Outcome(NamedTuple):
    old: bytes | None
    new: bytes
    errors: list[OpError]


class Contended(Exception):
    """Others changed the value again and again."""


class _Update:
    __slots__ = ("ended", "ops", "trace")

    def __init__(self, ops: Sequence[Op], trace: Trace, ended: "asyncio.Future[Outcome]") -> None:
        self.ops = ops
        self.trace = trace
        self.ended = ended


class Turns:
    """Updates of this process. Those of others are met with compare-and-set: one of two always succeeds."""

    def __init__(self, max_bytes: int, patience: float) -> None:
        """`max_bytes` of one value; `patience`: seconds an update may have to be repeated."""
        self._max_bytes = max_bytes
        self._patience = patience
        self._waiting: dict[Hashable, deque[_Update]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def update(self, key: Hashable, stored: Stored, ops: Sequence[Op], trace: Trace = NO_TRACE) -> Outcome:
        """Raises BadUpdate, Contended, and what `stored` raises."""
        loop = asyncio.get_running_loop()
        update = _Update(ops, trace, loop.create_future())
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(update)
        else:
            self._waiting[key] = deque([update])
            task = loop.create_task(self._serve(key, stored))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await update.ended

    async def close(self) -> None:
        """What still waits fails."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for waiting in self._waiting.values():  # of tasks that had not begun
            _fail(waiting, ConnectionError(STOPPED))
        self._waiting.clear()

    async def _serve(self, key: Hashable, stored: Stored) -> None:
        """Turns until nobody waits."""
        waiting = self._waiting[key]
        taken: list[_Update] = []
        try:
            known = False
            value: bytes | None = None
            while waiting:
                taken = []
                try:
                    if not known:
                        value = await stored.read()
                    known = False
                    value = await self._turn(stored, value, waiting, taken)
                    known = True
                except Exception as error:
                    _fail((*taken, *waiting), error)  # one after the other, they would wait for the store each
                    waiting.clear()
        finally:
            del self._waiting[key]
            _fail((*taken, *waiting), ConnectionError(STOPPED))

    async def _turn(
        self, stored: Stored, value: bytes | None, waiting: deque[_Update], taken: list[_Update]
    ) -> bytes | None:
        """Take some updates and carry them out; returns what is stored then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            outcomes = self._steps(value, waiting, taken)
            if not outcomes:
                return value
            steps, traces = [outcome.new for outcome in outcomes], [update.trace for update in taken]
            done, present = await stored.swap(value, steps, traces)
            if done:
                for update, outcome in zip(taken, outcomes, strict=True):
                    if not update.ended.done():
                        update.ended.set_result(outcome)
                return outcomes[-1].new
            if loop.time() > deadline:
                raise Contended(f"others kept changing the value for {self._patience:g} s")
            waiting.extendleft(reversed(taken))
            taken.clear()
            value = present

    def _steps(self, value: bytes | None, waiting: deque[_Update], taken: list[_Update]) -> list[Outcome]:
        """One after the other from `value` on. Who cannot be carried out is told so."""
        outcomes: list[Outcome] = []
        size = 0
        while waiting and len(outcomes) < MAX_STEPS and (size < MAX_STEP_BYTES or not outcomes):
            update = waiting.popleft()
            if update.ended.done():  # its caller is gone
                continue
            try:
                new, errors = updated(value, update.ops, self._max_bytes)
            except BadUpdate as error:
                update.ended.set_exception(error)
                continue
            taken.append(update)
            outcomes.append(Outcome(value, new, errors))
            size += len(new)
            value = new
        return outcomes


def _fail(updates: Iterable[_Update], error: Exception) -> None:
    for update in updates:
        if not update.ended.done():
            update.ended.set_exception(error)
