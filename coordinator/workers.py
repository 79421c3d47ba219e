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
    def store(self, worker: str, record: WorkerRecord) -> None:
        """Write the record; `Workers.stored` is called when it is written."""

    def erase(self, worker: str) -> None: ...

    def clean(self, departures: list[Departure]) -> None:
        """Start the clean-up; `Workers.tell` and then `Workers.cleaned` are called when it is over."""

    def fire(self, event: str, worker: str, once: str) -> None:
        """`once` names what two leaders may tell of, "" if it is no such event."""


class Workers:
    """Worker id -> connection. A record stays until its clean-up is over, so that a new leader can finish it.

    Nobody hears of a worker before its record is written: the next leader has to tell when it is gone.
    A gateway that was cut off comes back under a new node id with the same workers: the former connection of each is
    cleaned up and told of, then the new one is.
    """

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._records: dict[str, WorkerRecord] = {}
        self._of_gateway: dict[str, set[str]] = {}
        self._unconfirmed: dict[str, set[str]] = {}  # by gateway: recorded, not yet announced to this leader
        self._leaving: dict[str, WorkerRecord] = {}
        self._arriving: dict[str, WorkerRecord] = {}  # connected anew while the former connection is cleaned up
        self._early: dict[str, list[tuple[str, str]]] = {}  # events, and their names, that wait for a worker's record
        self._trusted = False  # the records were there: a worker without one is news

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> Iterable[tuple[str, WorkerRecord]]:
        """Who is where, those included whose clean-up is not over."""
        return self._records.items()

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
        self._arriving.clear()
        self._early.clear()
        self._trusted = True

    def up(self, gateway: str, conn: int, worker: str, again: bool) -> None:
        """A worker is connected; `again` if the gateway has told a leader before.

        A worker told again that no leader ever recorded came while nobody led: it is news all the same.
        """
        record = WorkerRecord(gateway, conn)
        known = self._records.get(worker)
        self._unconfirmed.get(gateway, set()).discard(worker)
        if known is None:
            self._connected(worker, record, news=self._trusted or not again)
        elif known == record:
            self._leaving.pop(worker, None)
        else:
            self._arriving[worker] = record
            self._depart([worker], back=True)

    def changed(self, worker: str) -> None:
        if worker in self._early:
            self._early[worker].append((CHANGED, ""))
        elif worker in self._records:
            self._effects.fire(CHANGED, worker, "")

    def stored(self, records: Mapping[str, WorkerRecord]) -> None:
        """These are written."""
        for worker, record in records.items():
            if self._records.get(worker) == record:
                self._tell_early(worker)

    def down(self, gateway: str, conn: int, worker: str, back: bool = False) -> None:
        """A connection is closed; `back` if its worker is expected to come again.

        One that is not on record came and went while nobody led, or its record is lost: it is told of all the same.
        """
        record = WorkerRecord(gateway, conn)
        if worker not in self._records:
            self._put(worker, record)
            self._effects.store(worker, record)
        if self._records.get(worker) == record:
            self._depart([worker], back)
            return
        if self._arriving.get(worker) == record:
            del self._arriving[worker]
            self._unconfirmed.get(gateway, set()).discard(worker)
        self._effects.clean([Departure(Owner(gateway, conn, worker), known=False, back=back)])

    def announced(self, gateway: str) -> None:
        """The gateway has told of every worker it has: the others recorded for it are gone."""
        gone = self._unconfirmed.pop(gateway, set())
        for worker in sorted(gone & self._arriving.keys()):
            self.down(gateway, self._arriving[worker].conn, worker)
        self._depart(gone & self._of_gateway.get(gateway, set()))

    def link_reset(self, gateway: str) -> None:
        """Mail from the gateway may be lost; it will announce its workers again."""
        arriving = {worker for worker, record in self._arriving.items() if record.gateway == gateway}
        self._unconfirmed[gateway] = arriving | self._of_gateway.get(gateway, set())

    def gateways(self, live: Collection[str]) -> None:
        """The map changed: the workers of gateways that are not in it are gone, and may connect to others."""
        for worker, record in list(self._arriving.items()):
            if record.gateway not in live:
                self.down(record.gateway, record.conn, worker, back=True)
        self._unconfirmed = {gateway: workers for gateway, workers in self._unconfirmed.items() if gateway in live}
        for gateway in [gateway for gateway in self._of_gateway if gateway not in live]:
            self._depart(self._of_gateway[gateway], back=True)

    def tell(self, departures: Iterable[Departure]) -> None:
        """Nothing of them is left."""
        for departure in departures:
            if self._is_leaving(departure):
                owner = departure.owner
                self._tell_early(owner.worker)
                self._effects.fire(DISCONNECTED, owner.worker, _once(DISCONNECTED, owner))

    def cleaned(self, departures: Iterable[Departure]) -> None:
        """Everybody has heard that they are gone."""
        for departure in departures:
            if self._is_leaving(departure):
                worker = departure.owner.worker
                self._drop(worker, self._leaving.pop(worker))
                again = self._arriving.pop(worker, None)
                if again is not None:
                    self._connected(worker, again, news=True)
                else:
                    self._effects.erase(worker)

    def _is_leaving(self, departure: Departure) -> bool:
        owner = departure.owner
        return departure.known and self._leaving.get(owner.worker) == WorkerRecord(owner.node, owner.conn)

    def _connected(self, worker: str, record: WorkerRecord, news: bool) -> None:
        self._put(worker, record)
        if news:
            self._early[worker] = [(CONNECTED, _once(CONNECTED, Owner(record.gateway, record.conn, worker)))]
        self._effects.store(worker, record)

    def _tell_early(self, worker: str) -> None:
        for event, once in self._early.pop(worker, ()):
            self._effects.fire(event, worker, once)

    def _depart(self, workers: Iterable[str], back: bool = False) -> None:
        departures = []
        for worker in sorted(workers):
            if worker not in self._leaving:
                record = self._leaving[worker] = self._records[worker]
                departures.append(Departure(Owner(record.gateway, record.conn, worker), True, back))
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


def _once(event: str, owner: Owner) -> str:
    return f"{event}:{owner.worker}:{owner.node}:{owner.conn}"
