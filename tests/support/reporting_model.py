"""The gateway as coordinators see it: it reports who came and went, and confirms what it is asked to clean up."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from coordinator.cleanup import TOLD
from iii_cluster.bus.envelopes import Cleanup, CleanupDone, Envelope, Invoke, WorkerDown, WorkersAnnounced, WorkerUp
from iii_cluster.cluster.map import ClusterMap


@dataclass
class Gateway:
    """Tells the leader of its workers, again to every new one; its subscriber hears each event once."""

    id: str
    post: Callable[[str, Envelope], None]
    map: ClusterMap = field(default_factory=ClusterMap)
    conns: dict[int, str] = field(default_factory=dict)
    departed: dict[int, str] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)

    def tell(self, envelope: Envelope) -> None:
        if self.map.leader:
            self.post(self.map.leader, envelope)

    def adopt(self, new: ClusterMap) -> None:
        old, self.map = self.map, new
        if (old.leader, old.term) != (new.leader, new.term):
            self.announce()

    def announce(self) -> None:
        for conn, worker in self.conns.items():
            self.tell(WorkerUp(conn, worker, again=True))
        for conn, worker in self.departed.items():
            self.tell(WorkerDown(conn, worker))
        self.tell(WorkersAnnounced(self.map.epoch))

    def receive(self, src: str, said: Envelope) -> None:
        match said:
            case Invoke(once=once):
                self.heard[once] += 1
            case Cleanup(job, step, owners, term):
                if term < self.map.term:
                    return
                for owner in owners:
                    if step == TOLD and owner.node == self.id:
                        self.departed.pop(owner.conn, None)
                self.post(src, CleanupDone(job, step))
