"""The workers of the cluster as the leader knows them: who came, who left, who must be cleaned up after."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from iii_cluster.bus.envelopes import Owner

from .cleanup import Departure

CONNECTED = "worker_connected"
DISCONNECTED = "worker_disconnected"
CHANGED = "worker_metadata_updated"


class WorkerRecord(Struct, frozen=True):
    """Where a worker is connected; kept in Redis for the next leader."""

    gateway: str
    conn: int


class Effects(Protocol):
    def store(self, worker: str, record: WorkerRecord) -> None: ...

    def erase(self, worker: str) -> None: ...

    def clean(self, departures: list[Departure]) -> None:
        """Start the clean-up; `Workers.cleaned` is called when it is over."""

    def fire(self, event: str, worker: str) -> None: ...


class Workers:
    """Worker id -> connection. A record stays until its clean-up is over, so that a new leader can finish it."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._records: dict[str, WorkerRecord] = {}
        self._of_gateway: dict[str, set[str]] = {}
        self._unconfirmed: dict[str, set[str]] = {}  # by gateway: recorded, not yet announced to this leader
        self._leaving: dict[str, WorkerRecord] = {}
        self._trusted = False  # the records were there: a worker without one is news

    def __len__(self) -> int:
        return len(self._records)

    def load(self, records: Mapping[str, WorkerRecord]) -> None:
        """Take over from another leader: `records` is what it left in Redis, to be confirmed by the gateways."""
        self.clear()
        for worker, record in records.items():
            self._put(worker, record)
        self._unconfirmed = {gateway: set(workers) for gateway, workers in self._of_gateway.items()}
        self._trusted = bool(records)

    def restore(self) -> None:
        """This leader goes on although Redis may have lost the records: write them again."""
        for worker, record in self._records.items():
            self._effects.store(worker, record)

    def clear(self) -> None:
        self._records.clear()
        self._of_gateway.clear()
        self._unconfirmed.clear()
        self._leaving.clear()
        self._trusted = True

    def up(self, gateway: str, conn: int, worker: str, again: bool) -> None:
        """A worker is connected; `again` if the gateway has told a leader before.

        A worker told again that no leader ever recorded came while nobody led: it is news all the same.
        """
        record = WorkerRecord(gateway, conn)
        known = self._records.get(worker)
        self._unconfirmed.get(gateway, set()).discard(worker)
        self._leaving.pop(worker, None)
        if known == record:
            return
        if known is not None:
            self._drop(worker, known)
        self._put(worker, record)
        self._effects.store(worker, record)
        if known is None and (self._trusted or not again):
            self._effects.fire(CONNECTED, worker)

    def changed(self, worker: str) -> None:
        if worker in self._records:
            self._effects.fire(CHANGED, worker)

    def down(self, gateway: str, conn: int, worker: str) -> None:
        """A connection is closed. Of an unknown one there may be registrations, but it was never announced."""
        record = WorkerRecord(gateway, conn)
        if self._records.get(worker) == record:
            self._depart([worker])
        else:
            self._effects.clean([Departure(Owner(gateway, conn, worker), known=False)])

    def announced(self, gateway: str) -> None:
        """The gateway has told of every worker it has: the others recorded for it are gone."""
        self._depart(self._unconfirmed.pop(gateway, ()))

    def link_reset(self, gateway: str) -> None:
        """Mail from the gateway may be lost; it will announce its workers again."""
        if gateway in self._of_gateway:
            self._unconfirmed[gateway] = set(self._of_gateway[gateway])

    def gateways(self, live: Collection[str]) -> None:
        """The map changed: the workers of gateways that are not in it are gone."""
        for gateway in [gateway for gateway in self._of_gateway if gateway not in live]:
            self._unconfirmed.pop(gateway, None)
            self._depart(self._of_gateway[gateway])

    def cleaned(self, departures: Iterable[Departure]) -> None:
        """Their clean-up is over."""
        for departure in departures:
            owner = departure.owner
            record = WorkerRecord(owner.node, owner.conn)
            if departure.known and self._leaving.get(owner.worker) == record:
                del self._leaving[owner.worker]
                self._drop(owner.worker, record)
                self._effects.fire(DISCONNECTED, owner.worker)
                self._effects.erase(owner.worker)

    def _depart(self, workers: Iterable[str]) -> None:
        departures = []
        for worker in sorted(workers):
            if worker not in self._leaving:
                record = self._leaving[worker] = self._records[worker]
                departures.append(Departure(Owner(record.gateway, record.conn, worker), known=True))
        if departures:
            self._effects.clean(departures)

    def _put(self, worker: str, record: WorkerRecord) -> None:
        self._records[worker] = record
        self._of_gateway.setdefault(record.gateway, set()).add(worker)

    def _drop(self, worker: str, record: WorkerRecord) -> None:
        del self._records[worker]
        workers = self._of_gateway[record.gateway]
        workers.discard(worker)
        if not workers:
            del self._of_gateway[record.gateway]
        self._unconfirmed.get(record.gateway, set()).discard(worker)
