"""Releasing everything of closed connections, cluster-wide, in a fixed order and in batches.

1. the functions, 2. the triggers, trigger types and services, on all shards; 3. the pending invocations, on all
gateways; 4. the event is told, and then every gateway confirms that it got what was sent before. Each step ends when
every member of the current map has acknowledged it, has left the map, or the step's deadline has passed. What arrives
while a batch runs waits for the next one. Every step may be repeated, by this leader or by the next one.
"""

from collections import deque
from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol

from iii_cluster.bus.envelopes import Cleanup, Owner
from iii_cluster.cluster.map import Role

TOLD = "told"
STEPS = (("functions", Role.SHARD), ("triggers", Role.SHARD), ("invocations", Role.GATEWAY), (TOLD, Role.GATEWAY))
STEP_TIMEOUT = 2.0  # s
MAX_BATCH = 5000  # connections


class Departure(NamedTuple):
    """A closed connection; `known` if it had been recorded as a worker, `back` if that one is expected again."""

    owner: Owner
    known: bool
    back: bool = False


class Effects(Protocol):
    def send(self, node: str, envelope: Cleanup) -> None: ...

    def tell(self, departures: list[Departure]) -> bool:
        """Fire the events; False if some are yet to be sent: `CleanupQueue.told` is called when they are."""

    def finished(self, departures: list[Departure]) -> None:
        """All steps of a batch are over."""

    def overdue(self, step: str, nodes: Collection[str]) -> None:
        """A step's deadline passed before `nodes` had acknowledged it."""


class CleanupQueue:
    """One batch at a time. `now` is any monotonic clock in seconds."""

    def __init__(self, effects: Effects) -> None:
        self.deadline: float | None = None  # of the running step
        self._effects = effects
        self._term = 0
        self._members: dict[Role, frozenset[str]] = {}
        self._queue: deque[Departure] = deque()
        self._batch: list[Departure] = []
        self._job = 0
        self._step = 0
        self._request = Cleanup(0, "", [])
        self._telling = False  # events of the batch are not sent yet: nothing to confirm
        self._waiting: set[str] = set()

    def __len__(self) -> int:
        """Connections not yet cleaned up."""
        return len(self._queue) + len(self._batch)

    def lead(self, term: int, shards: Iterable[str], gateways: Iterable[str], now: float) -> None:
        """Go on in a new term: what was asked in an earlier one counts for nothing, so ask again."""
        self._term = term
        self._members = {Role.SHARD: frozenset(shards), Role.GATEWAY: frozenset(gateways)}
        if self._batch:
            self._job += 1
            self._begin(self._step, now)
            self._proceed(now)

    def add(self, departures: Iterable[Departure], now: float) -> None:
        self._queue.extend(departures)
        if not self._batch:
            self._next_batch(now)

    def members(self, shards: Iterable[str], gateways: Iterable[str], now: float) -> None:
        """The map changed. Newcomers need no clean-up: nothing of a closed connection is announced to them."""
        self._members = {Role.SHARD: frozenset(shards), Role.GATEWAY: frozenset(gateways)}
        if self._batch:
            self._waiting &= self._members[STEPS[self._step][1]]
            self._proceed(now)

    def acknowledged(self, node: str, job: int, step: str, now: float) -> None:
        """`node` has done a step; an answer to an earlier job or step counts for nothing."""
        if self._batch and job == self._job and step == STEPS[self._step][0]:
            self._waiting.discard(node)
            self._proceed(now)

    def told(self) -> None:
        """All events are sent: let the gateways confirm."""
        if self._telling:
            self._telling = False
            self._ask()

    def link_reset(self, node: str, now: float) -> None:
        """Mail to or from `node` may be lost: ask, and tell, again."""
        if node not in self._waiting:
            return
        if STEPS[self._step][0] == TOLD:
            self._begin(self._step, now)
        else:
            self._effects.send(node, self._request)

    def expire(self, now: float) -> None:
        """Give up waiting if the step's deadline has passed."""
        if self.deadline is not None and now >= self.deadline:
            self._effects.overdue(STEPS[self._step][0], sorted(self._waiting))
            self._waiting.clear()
            self._proceed(now)

    def clear(self) -> None:
        """Somebody else leads, and finishes what was begun."""
        self._queue.clear()
        self._batch = []
        self._telling = False
        self._waiting.clear()
        self.deadline = None

    def _next_batch(self, now: float) -> None:
        if not self._queue:
            return
        self._batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
        self._job += 1
        self._begin(0, now)
        self._proceed(now)

    def _begin(self, step: int, now: float) -> None:
        name, role = STEPS[step]
        self._step = step
        self._waiting = set(self._members.get(role, ()))
        self.deadline = now + STEP_TIMEOUT
        owners = [departure.owner for departure in self._batch]
        back = [at for at, departure in enumerate(self._batch) if departure.back]
        self._request = Cleanup(self._job, name, owners, self._term, back)
        self._telling = name == TOLD and not self._effects.tell(self._batch)
        if not self._telling:
            self._ask()

    def _ask(self) -> None:
        for node in sorted(self._waiting):
            self._effects.send(node, self._request)

    def _proceed(self, now: float) -> None:
        while not self._waiting:
            if self._step + 1 < len(STEPS):
                self._begin(self._step + 1, now)
                continue
            batch, self._batch, self.deadline = self._batch, [], None
            self._telling = False
            self._effects.finished(batch)
            if not self._batch:
                self._next_batch(now)
            return
