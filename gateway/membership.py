"""Telling the leading coordinator which workers this gateway has. Pure."""

from collections.abc import Iterable

from iii_cluster.bus.envelopes import Envelope, Owner, WorkerChanged, WorkerDown, WorkersAnnounced, WorkerUp
from iii_cluster.bus.outbox import Outbox
from iii_cluster.cluster.map import ClusterMap

from .worker import Worker


class WorkerMembership:
    """Reports to the leader. A lost connection is reported to every new leader until its clean-up was seen."""

    def __init__(self, workers: dict[int, Worker], outbox: Outbox) -> None:
        self._workers = workers
        self._outbox = outbox
        self._leader = ""
        self._epoch = 0
        self._told: set[int] = set()  # connections that a leader was told of, in this node's name
        self._departed: dict[int, tuple[Owner, WorkerDown]] = {}

    def up(self, worker: Worker) -> None:
        if self._leader:
            self._tell(WorkerUp(worker.number, worker.id, again=worker.number in self._told))
            self._told.add(worker.number)

    def changed(self, worker: Worker) -> None:
        self._tell(WorkerChanged(worker.id))

    def down(self, worker: Worker, *, back: bool) -> None:
        """Its connection is closed; `back`: it is expected to connect again."""
        self._told.discard(worker.number)
        if worker.known:
            said = WorkerDown(worker.number, worker.id, back)
            self._departed[worker.number] = worker.owner, said
            self._tell(said)

    def cleaned(self, owners: Iterable[Owner]) -> None:
        """The leader got as far as the last step for these connections."""
        for owner in owners:
            departed = self._departed.get(owner.conn)
            if departed is not None and departed[0] == owner:
                del self._departed[owner.conn]

    def reincarnate(self) -> None:
        """Nobody was told anything so far; lost connections were those of a node that is cleaned up as a whole."""
        self._leader = ""
        self._epoch = 0
        self._told.clear()
        self._departed.clear()

    def on_map(self, old: ClusterMap, new: ClusterMap) -> None:
        self._leader = new.leader
        self._epoch = new.epoch
        if new.leader != old.leader or new.term != old.term:
            self._announce()

    def on_reset(self, node: str) -> None:
        if node == self._leader:
            self._announce()

    def _announce(self) -> None:
        for worker in self._workers.values():
            if worker.known:
                self.up(worker)
        for _, said in self._departed.values():
            self._tell(said)
        self._tell(WorkersAnnounced(self._epoch))

    def _tell(self, envelope: Envelope) -> None:
        if self._leader:
            self._outbox.send(self._leader, envelope)
