"""What a leader may do about workers, and when. Pure: it asks for the term it leads in right before every effect."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from iii_cluster.bus.envelopes import Cleanup, CleanupDone
from iii_cluster.cluster.map import ClusterMap, Role

from .cleanup import CleanupQueue, Departure
from .workers import WorkerRecord, Workers


class Effects(Protocol):
    def send(self, node: str, envelope: Cleanup) -> None: ...

    def store(self, worker: str, record: WorkerRecord) -> None: ...

    def erase(self, worker: str) -> None: ...

    def fire(self, event: str, worker: str, once: str) -> bool:
        """False if it is yet to be sent: `Ledger.told` is called when nothing is."""

    def finished(self, departures: list[Departure]) -> None: ...

    def overdue(self, step: str, nodes: Collection[str]) -> None: ...


class Ledger:
    """The workers as one coordinator knows them.

    It acts on what gateways tell while it leads: while `term()`, which compares the clock, is the term it was resumed
    in. Between losing that and either leading again or seeing another leader in the map it only remembers what it is
    told. `now` is any monotonic clock in seconds.
    """

    def __init__(self, effects: Effects, term: Callable[[], int]) -> None:
        self.workers = Workers(self)
        self.cleanup = CleanupQueue(self)
        self._effects = effects
        self._current = term
        self._term = 0  # resumed in
        self._former = 0  # epoch of the last map of others, when the workers were loaded
        self.loaded = 0  # term the workers were loaded in; 0 once another leader's map was seen
        self._waiting: list[Callable[[], None]] = []
        self._untold = False  # an event of the last `tell` is yet to be sent
        self._now = 0.0  # of the event that is being handled

    @property
    def term(self) -> int:
        """The term it may act in right now, 0 if it may not."""
        return self._term if self._term and self._current() == self._term else 0

    # -- leadership

    def take_over(self, term: int, records: Mapping[str, WorkerRecord] | None, epoch: int = 0) -> None:
        """Elected: start from what is stored, or (None) go on with what is known: nobody else has led since.

        `epoch` is that of the stored map.
        """
        if records is None:
            self.workers.restore()
        else:
            self.abandon()
            self.workers.load(records)
            self._former = epoch
        self.loaded = term

    def resume(self, term: int, current: ClusterMap, now: float) -> None:
        """The map names this node as leader of `term`: act on what gateways tell."""
        if self._term == term or self._current() != term:
            return
        self._term, self._now = term, now
        shards, gateways = current.of_role(Role.SHARD), current.of_role(Role.GATEWAY)
        self.cleanup.lead(term, shards, gateways, now)
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            self.heard(act, now)
        self.workers.gateways(set(gateways))  # last: who told something may be gone meanwhile

    def depose(self) -> None:
        """The lease is lost, maybe for a moment."""
        self._term = 0

    def abandon(self) -> None:
        """Forget the workers: another leader knows better."""
        self._term = self.loaded = 0
        self.workers.clear()
        self.cleanup.clear()
        self._waiting.clear()

    # -- what others tell

    def heard(self, act: Callable[[], None], now: float) -> None:
        """`act` on what a gateway told, now, when leading again, or never."""
        if self.term:
            self._now = now
            act()
        elif self.loaded:
            self._waiting.append(act)

    def announced(self, gateway: str, epoch: int, now: float) -> None:
        """A gateway told of every worker it has; that counts if it did so because of a map of this leadership."""
        if epoch > self._former:
            self.heard(lambda: self.workers.announced(gateway), now)

    def map_changed(self, current: ClusterMap, now: float) -> None:
        if self.term:
            self._now = now
            shards, gateways = current.of_role(Role.SHARD), current.of_role(Role.GATEWAY)
            self.cleanup.members(shards, gateways, now)
            self.workers.gateways(set(gateways))

    def cleanup_done(self, node: str, done: CleanupDone, now: float) -> None:
        if self.term:
            self._now = now
            self.cleanup.acknowledged(node, done.job, done.step, now)

    def link_reset(self, node: str, now: float) -> None:
        """Mail from and to `node` may be lost."""
        if self.term:
            self._now = now
            self.cleanup.link_reset(node, now)
        self.heard(lambda: self.workers.link_reset(node), now)

    def told(self) -> None:
        """Every event that was fired is sent."""
        if self.term:
            self.cleanup.told()

    def expire(self, now: float) -> None:
        """Call it at `cleanup.deadline`."""
        if self.term:
            self._now = now
            self.cleanup.expire(now)

    # -- effects of the workers and of the clean-up

    def clean(self, departures: list[Departure]) -> None:
        self.cleanup.add(departures, self._now)

    def send(self, node: str, envelope: Cleanup) -> None:
        if self.term:  # else it is sent again as soon as this node leads again
            self._effects.send(node, envelope)

    def tell(self, departures: list[Departure]) -> bool:
        self._untold = False
        self.workers.tell(departures)
        return not self._untold

    def fire(self, event: str, worker: str, once: str) -> None:
        if not self.term:
            self._waiting.append(lambda: self.fire(event, worker, once))
        elif not self._effects.fire(event, worker, once):
            self._untold = True

    def finished(self, departures: list[Departure]) -> None:
        self._effects.finished(departures)
        self.workers.cleaned(departures)

    def overdue(self, step: str, nodes: Collection[str]) -> None:
        self._effects.overdue(step, nodes)

    def store(self, worker: str, record: WorkerRecord) -> None:
        self._effects.store(worker, record)

    def erase(self, worker: str) -> None:
        self._effects.erase(worker)
