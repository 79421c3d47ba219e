"""Connections that were lost, and the answers to their callers, kept until the worker is back or the window is over.

A worker that comes back proves who it was with the token of its old connection. From then on the answers to its
earlier calls go to the new one, on this gateway or another. Pure.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator

from iii_cluster.bus.envelopes import Deliver
from iii_cluster.bus.outbox import Outbox
from iii_cluster.cluster.map import ClusterMap, tag_of
from iii_cluster.routing.ids import maker_of

from .call import fitting
from .worker import Answers, Worker

log = logging.getLogger(__name__)

# What is kept for one lost connection; the oldest goes first.
MAX_CALLS = 1_000  # in flight, and as many answers
MAX_BYTES = 16 * 2**20  # of answers
# What is kept for all of them.
MAX_TOTAL_BYTES = 128 * 2**20  # well below what one link queues: they may all go to one gateway
# Lost connections whose successors are remembered: gateways they were on earlier may still send answers.
MAX_SUCCESSORS = 10_000


class _Nowhere:
    """For the answers nobody waits for any more."""

    def send(self, frame: bytes) -> None:
        pass


NOWHERE = _Nowhere()


class Kept:
    """The answers of one lost connection: kept, then passed on. Takes the place of its outlet."""

    __slots__ = ("_budget", "_bytes", "_frames", "dropped", "heir", "in_order", "until", "worker")

    def __init__(self, worker: Worker, budget: "Budget") -> None:
        self.worker = worker
        self.until = math.inf  # when the window is over
        self.in_order = False  # the worker got every call that was sent to it, and every answer of its came
        self.heir: Answers | None = None  # where the worker is now
        self.dropped = 0
        self._budget = budget
        self._frames: deque[bytes] = deque()
        self._bytes = 0

    @property
    def count(self) -> int:
        """Answers that wait."""
        return len(self._frames)

    def send(self, frame: bytes) -> None:
        if self.heir is not None:
            self.heir.send(frame)
            return
        self._frames.append(frame)
        self._count(len(frame))
        while self._frames and (
            len(self._frames) > MAX_CALLS or self._bytes > MAX_BYTES or self._budget.bytes > MAX_TOTAL_BYTES
        ):
            self._count(-len(self._frames.popleft()))
            self.dropped += 1

    def pass_on(self, heir: Answers) -> None:
        """The worker is back: what is kept and what comes later goes there."""
        self.heir = heir
        while self._frames:
            frame = self._frames.popleft()
            self._count(-len(frame))
            heir.send(frame)

    def _count(self, size: int) -> None:
        self._bytes += size
        self._budget.bytes += size


class Budget:
    """Bytes of answers kept for all lost connections."""

    def __init__(self) -> None:
        self.bytes = 0


class _Here:
    """A worker that is back on this gateway; lost again, its answers are kept again."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def send(self, frame: bytes) -> None:
        self._worker.answers.send(fitting(frame, self._worker.max_frame))


class _There:
    """A worker that is back on another gateway, in whatever incarnation that is by now."""

    def __init__(self, node: str, conn: int, current: Callable[[], ClusterMap], outbox: Outbox) -> None:
        self._node = node
        self._conn = conn
        self._current = current
        self._outbox = outbox

    def send(self, frame: bytes) -> None:
        current = self._current()
        node = self._node if self._node in current.nodes else maker_of(tag_of(self._node), current)
        if node:
            self._outbox.send(node, Deliver(self._conn, frame))


class LostConnections:
    """Connections of this gateway that were lost."""

    def __init__(self, current: Callable[[], ClusterMap], outbox: Outbox) -> None:
        self._current = current  # the cluster map of now
        self._outbox = outbox
        self._budget = Budget()
        self._waiting: dict[str, Kept] = {}  # by worker id: nobody came for them yet
        self._by_conn: dict[int, Kept] = {}  # the same
        self._moved: dict[str, Kept] = {}  # by worker id: somebody came, and calls are left
        self._successors: dict[int, Answers] = {}  # by connection: where those went that may get answers from elsewhere

    def __iter__(self) -> Iterator[Kept]:
        """All that may still have calls."""
        yield from self._waiting.values()
        yield from self._moved.values()

    def keep(self, worker: Worker) -> Kept:
        """The socket takes no more: keep what it would have got."""
        kept = self._waiting.get(worker.id)
        if kept is None:
            kept = self._waiting[worker.id] = self._by_conn[worker.number] = Kept(worker, self._budget)
            worker.answers = kept
        return kept

    def proves(self, worker_id: str, token: str, same: Callable[[str, str], bool], realm: str = "") -> bool:
        """Whether the token is that of a lost connection of this realm nobody came for yet; `same` compares secrets."""
        kept = self._waiting.get(worker_id)
        return kept is not None and kept.worker.realm == realm and same(kept.worker.token, token)

    def get(self, worker_id: str) -> Kept | None:
        """A lost connection nobody came for yet."""
        return self._waiting.get(worker_id)

    def on_conn(self, conn: int) -> Kept | None:
        """A lost connection nobody came for yet."""
        return self._by_conn.get(conn)

    def answers_of(self, conn: int) -> Answers:
        """Where the answers for a connection go that is not there any more."""
        return self._by_conn.get(conn) or self._successors.get(conn, NOWHERE)

    def moved(self, worker_id: str) -> Kept | None:
        """A lost connection whose worker is back and that has calls left."""
        return self._moved.get(worker_id)

    def move_here(self, kept: Kept, heir: Worker) -> None:
        heir.inherits = heir.inherits or kept.worker.inherits
        self._move(kept, _Here(heir))

    def move_there(self, kept: Kept, node: str, conn: int) -> None:
        self._move(kept, _There(node, conn, self._current, self._outbox))

    def _move(self, kept: Kept, heir: Answers) -> None:
        worker = kept.worker
        del self._waiting[worker.id]
        del self._by_conn[worker.number]
        kept.pass_on(heir)
        self._moved[worker.id] = kept
        if worker.inherits:
            self._successors[worker.number] = heir
            if len(self._successors) > MAX_SUCCESSORS:
                del self._successors[next(iter(self._successors))]

    def drop(self, worker: Worker) -> None:
        """Nobody comes for it any more."""
        worker.answers = NOWHERE
        kept = self._waiting.pop(worker.id, None)
        if kept is not None:
            del self._by_conn[worker.number]
            if kept.dropped:
                log.warning("action=answers_dropped worker=%s count=%d", worker.id, kept.dropped)
            kept.pass_on(NOWHERE)

    def expire(self, now: float) -> tuple[list[Worker], list[Worker]]:
        """Those nobody came for until the window was over; and those that came back and may not know of a call."""
        for kept in [kept for kept in self._moved.values() if not kept.worker.calling and not kept.worker.serving]:
            del self._moved[kept.worker.id]
        left = [kept.worker for kept in self._waiting.values() if now >= kept.until]
        unsure = [kept.worker for kept in self._moved.values() if now >= kept.until and not kept.in_order]
        return left, unsure
