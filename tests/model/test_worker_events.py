"""Coordinators that are stopped, killed and go on, gateways that die or come back under a new id, a forgetful Redis.

Whoever leads when, and whatever it was doing when it stopped: every lost connection is cleaned up and told of once.
"""

from collections import defaultdict, deque
from collections.abc import Collection
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.cleanup import Departure
from coordinator.ledger import Ledger
from coordinator.workers import CONNECTED, DISCONNECTED, WorkerRecord
from iii_cluster.bus.envelopes import (
    Cleanup,
    CleanupDone,
    Envelope,
    Invoke,
    Owner,
    WorkerDown,
    WorkersAnnounced,
    WorkerUp,
)
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from tests.support.reporting_model import Gateway

SHARD = "shard-1"
HOME = "gateway-0"  # of the subscriber; it never dies


def names(node: str) -> list[str]:
    """All that a gateway has had: a connection that ends before its gateway told of it under the present one is told of
    under the former."""
    return [node, *(node[: -len(end)] for end in ("+" * n for n in range(1, node.count("+") + 1)))]


class Coordinator:
    """A ledger with what is around it; its effects go to the world."""

    def __init__(self, world: "World", id: str) -> None:
        self.id = id
        self.world = world
        self.map = world.map
        self.paused = False
        self.taken_over = False
        self.events_wait = False  # the subscriber's gateway is yet to be looked up
        self.waiting: list[str] = []
        self.pending: dict[str, WorkerRecord | None] = {}
        self.ledger = Ledger(self, self.term)

    def term(self) -> int:
        return self.world.term if self.world.holder == self.id and not self.paused else 0

    def adopt(self, new: ClusterMap) -> None:
        self.map = new
        if new.leader != self.id:
            if new.term > self.ledger.loaded > 0:
                self.abandon()
        else:
            self.ledger.map_changed(new, self.world.now)

    def abandon(self) -> None:
        self.ledger.abandon()
        self.pending.clear()

    def receive(self, src: str, said: Envelope) -> None:
        if src not in self.map.nodes:
            return
        workers, now = self.ledger.workers, self.world.now
        match said:
            case WorkerUp(conn, worker, again):
                self.ledger.heard(lambda: workers.up(src, conn, worker, again), now)
            case WorkerDown(conn, worker):
                self.ledger.heard(lambda: workers.down(src, conn, worker), now)
            case WorkersAnnounced(epoch):
                self.ledger.announced(src, epoch, now)
            case CleanupDone():
                self.ledger.cleanup_done(src, said, now)

    def lead(self) -> None:
        """One round of the leader: take over, write the map, act."""
        term = self.world.term
        if not self.taken_over:
            self.taken_over = True
            if self.ledger.loaded and self.world.map.leader == self.id:
                self.ledger.take_over(term, None)
            else:
                self.abandon()
                self.ledger.take_over(term, dict(self.world.records), self.world.map.epoch)
                self.world.forget_knowledge()
        if self.world.map.term != term or self.world.map.nodes.keys() != self.world.living():
            self.world.write_map(self.id)
            self.adopt(self.world.map)
        self.ledger.resume(term, self.world.map, self.world.now)

    def write_records(self) -> None:
        if not self.ledger.term:
            return
        for worker, record in self.pending.items():
            if record is None:
                self.world.records.pop(worker, None)
            else:
                self.world.records[worker] = record
                self.world.recorded.add(Owner(record.gateway, record.conn, worker))
        stored = {worker: record for worker, record in self.pending.items() if record is not None}
        self.pending.clear()
        self.ledger.heard(lambda: self.ledger.workers.stored(stored), self.world.now)

    def flush_events(self) -> None:
        waiting, self.waiting = self.waiting, []
        for once in waiting:
            self.world.post(self.id, HOME, Invoke("", 1, "f", b"", once=once))
        self.ledger.told()

    # Effects

    def send(self, node: str, envelope: Cleanup) -> None:
        assert self.term() == envelope.term
        self.world.post(self.id, node, envelope)

    def store(self, worker: str, record: WorkerRecord) -> None:
        self.pending[worker] = record

    def erase(self, worker: str) -> None:
        self.pending[worker] = None

    def fire(self, event: str, worker: str, once: str) -> bool:
        assert self.term()
        if self.events_wait:
            self.waiting.append(once)
        else:
            self.world.post(self.id, HOME, Invoke("", 1, "f", b"", once=once))
        return not self.waiting

    def finished(self, departures: list[Departure]) -> None: ...

    def overdue(self, step: str, nodes: Collection[str]) -> None:
        raise AssertionError("nobody is slow here")


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.term = 0
        self.holder = ""
        self.map = ClusterMap()
        self.records: dict[str, WorkerRecord] = {}
        self.links: dict[tuple[str, str], deque[Envelope]] = defaultdict(deque)
        self.gateways: dict[str, Gateway] = {}
        self.coordinators: dict[str, Coordinator] = {}
        self.numbers = count(1)
        self.forgetful = False  # Redis has lost its memory once
        self.recorded: set[Owner] = set()  # ever written since Redis lost its memory
        self.lost: set[Owner] = set()  # connections that ended, and that somebody had to be told of
        self.excused: set[Owner] = set()  # of a dead gateway, and nobody who is left knows of them

    # -- the world

    def living(self) -> set[str]:
        return {SHARD, *self.gateways, *self.coordinators}

    def post(self, src: str, to: str, envelope: Envelope) -> None:
        self.links[src, to].append(envelope)

    def write_map(self, leader: str) -> None:
        nodes = {name: NodeInfo(id=name, role=Role(name.partition("-")[0])) for name in sorted(self.living())}
        self.map = ClusterMap(term=self.term, epoch=self.map.epoch + 1, leader=leader, nodes=nodes)

    def busy(self) -> list[tuple[str, str]]:
        """Links with mail for somebody who takes it."""
        stopped = {name for name, coordinator in self.coordinators.items() if coordinator.paused}
        return [link for link, mail in self.links.items() if mail and link[1] in self.living() - stopped]

    def deliver(self, src: str, to: str) -> None:
        envelope = self.links[src, to].popleft()
        if to in self.gateways:
            self.gateways[to].receive(src, envelope)
        elif to in self.coordinators:
            self.coordinators[to].receive(src, envelope)
        elif isinstance(envelope, Cleanup):
            self.post(SHARD, src, CleanupDone(envelope.job, envelope.step))

    def awake(self) -> list[str]:
        return sorted(name for name, coordinator in self.coordinators.items() if not coordinator.paused)

    def new_gateway(self, id: str) -> Gateway:
        self.gateways[id] = Gateway(id, lambda to, envelope: self.post(id, to, envelope))
        return self.gateways[id]

    def forget_knowledge(self) -> None:
        """Excuse those of dead gateways that no record and no leader to come can know, nor anybody has heard of."""
        known = set(self.recorded)
        if not self.forgetful:
            heard = self.gateways[HOME].heard
            known |= {o for o in self.lost if heard[f"{CONNECTED}:{o.worker}:{o.node}:{o.conn}"]}
        for coordinator in self.coordinators.values():
            if coordinator.ledger.loaded and self.map.leader == coordinator.id == self.holder:
                known |= {Owner(r.gateway, r.conn, w) for w, r in coordinator.ledger.workers.records()}
        self.excused |= {owner for owner in self.lost if owner.node not in self.gateways} - known

    # -- rules: coordinators

    @initialize()
    def start(self) -> None:
        self.new_gateway(HOME)
        for number in (1, 2):
            self.coordinators[f"coordinator-{number}"] = Coordinator(self, f"coordinator-{number}")
        self.somebody_is_elected("coordinator-1")
        self.everybody_settles()

    @precondition(lambda self: self.awake())
    @rule(data=st.data())
    def elect(self, data: st.DataObject) -> None:
        """The lease was free, or ran out while its holder was cut off from Redis for a moment."""
        self.somebody_is_elected(data.draw(st.sampled_from(self.awake())))

    def somebody_is_elected(self, name: str) -> None:
        former = self.coordinators.get(self.holder)
        if former is not None and not former.paused:
            former.ledger.depose()
        self.holder = name
        self.term += 1
        self.coordinators[name].taken_over = False

    @precondition(lambda self: self.holder in self.awake())
    @rule()
    def leader_goes_round(self) -> None:
        self.coordinators[self.holder].lead()

    @rule(data=st.data())
    def coordinator_is_stopped(self, data: st.DataObject) -> None:
        if len(self.awake()) > 1:
            self.coordinators[data.draw(st.sampled_from(self.awake()))].paused = True

    @rule(data=st.data())
    def coordinator_goes_on(self, data: st.DataObject) -> None:
        """Its mail may come before it hears of anything else."""
        stopped = sorted(self.coordinators.keys() - self.awake())
        if stopped:
            name = data.draw(st.sampled_from(stopped))
            self.coordinators[name].paused = False
            if self.holder == name:
                self.holder = ""  # for longer than its lease

    @rule(data=st.data(), mute=st.booleans())
    def coordinator_is_killed(self, data: st.DataObject, mute: bool) -> None:
        """Maybe before what it had to say last was sent."""
        name = data.draw(st.sampled_from(sorted(self.coordinators)))
        if [other for other in self.awake() if other != name]:
            del self.coordinators[name]
            for link, mail in self.links.items():
                if mute and link[0] == name:
                    mail.clear()
            if self.holder == name:
                self.holder = ""
            new = f"coordinator-{next(self.numbers) + 2}"
            self.coordinators[new] = Coordinator(self, new)
            self.forget_knowledge()

    @rule()
    def records_are_written(self) -> None:
        for name in self.awake():
            self.coordinators[name].write_records()

    @precondition(lambda self: self.holder in self.awake() and self.coordinators[self.holder].ledger.term)
    @rule()
    def redis_loses_its_memory(self) -> None:
        """The leader notices when it looks at the leases next."""
        self.records.clear()
        self.recorded.clear()
        self.forgetful = True
        self.coordinators[self.holder].ledger.workers.restore()

    @rule(wait=st.booleans())
    def events_have_to_be_looked_up(self, wait: bool) -> None:
        for name in self.awake():
            coordinator = self.coordinators[name]
            coordinator.events_wait = wait
            if not wait:
                coordinator.flush_events()

    # -- rules: gateways and workers

    @rule(data=st.data())
    def worker_connects(self, data: st.DataObject) -> None:
        gateway = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        conn = next(self.numbers)
        gateway.conns[conn] = f"worker-{conn}"
        gateway.tell(WorkerUp(conn, f"worker-{conn}"))

    @rule(data=st.data())
    def worker_leaves(self, data: st.DataObject) -> None:
        gateway = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        if gateway.conns:
            conn = data.draw(st.sampled_from(sorted(gateway.conns)))
            worker = gateway.departed[conn] = gateway.conns.pop(conn)
            self.lost.add(Owner(gateway.id, conn, worker))
            gateway.tell(WorkerDown(conn, worker))

    @precondition(lambda self: len(self.gateways) < 4)
    @rule()
    def gateway_joins(self) -> None:
        self.new_gateway(f"gateway-{next(self.numbers)}")

    @rule(data=st.data(), back=st.booleans())
    def gateway_dies(self, data: st.DataObject, back: bool) -> None:
        """Or is cut off and comes back under another id, with its connections."""
        doomed = sorted(self.gateways.keys() - {HOME})
        if not doomed:
            return
        name = data.draw(st.sampled_from(doomed))
        gateway = self.gateways.pop(name)
        self.lost |= {Owner(name, conn, worker) for conn, worker in gateway.conns.items()}
        if back:
            self.new_gateway(f"{name}+").conns = gateway.conns
        for link in self.links:
            if name in link:
                self.links[link].clear()
        self.forget_knowledge()

    @rule(data=st.data())
    def somebody_adopts_the_map(self, data: st.DataObject) -> None:
        self.adopt(data.draw(st.sampled_from(sorted({*self.gateways, *self.awake()}))))

    def adopt(self, name: str) -> None:
        node = self.gateways.get(name) or self.coordinators[name]
        if node.map.version < self.map.version and name in self.map.nodes:
            node.adopt(self.map)

    @rule(data=st.data(), limit=st.integers(1, 6))
    def some_mail_arrives(self, data: st.DataObject, limit: int) -> None:
        for _ in range(limit):
            if links := self.busy():
                self.deliver(*data.draw(st.sampled_from(sorted(links))))

    @rule(data=st.data())
    def a_link_is_reset(self, data: st.DataObject) -> None:
        if not self.awake():
            return
        gateway = self.gateways[data.draw(st.sampled_from(sorted(self.gateways)))]
        coordinator = self.coordinators[data.draw(st.sampled_from(self.awake()))]
        self.links[gateway.id, coordinator.id].clear()
        self.links[coordinator.id, gateway.id].clear()
        coordinator.ledger.link_reset(gateway.id, self.now)
        if gateway.map.leader == coordinator.id:
            gateway.announce()

    # -- what must hold

    @rule()
    def everybody_settles(self) -> None:
        while len(self.awake()) < len(self.coordinators):
            name = min(self.coordinators.keys() - self.awake())
            self.coordinators[name].paused = False
            self.holder = "" if self.holder == name else self.holder
        for coordinator in self.coordinators.values():
            coordinator.events_wait = False
        if not self.holder:
            self.somebody_is_elected(self.awake()[0])
        for _ in range(5):
            self.coordinators[self.holder].lead()
            for name in (*self.gateways, *self.coordinators):
                self.adopt(name)
            for name in self.coordinators:
                self.coordinators[name].flush_events()
            while links := self.busy():
                self.deliver(*links[0])
            self.records_are_written()
        self.check()

    def check(self) -> None:
        leader = self.coordinators[self.holder]
        heard = self.gateways[HOME].heard
        for owner in self.lost - self.excused:
            assert any(heard[f"{DISCONNECTED}:{owner.worker}:{node}:{owner.conn}"] for node in names(owner.node)), owner
        living = {w: WorkerRecord(g.id, c) for g in self.gateways.values() for c, w in g.conns.items()}
        assert self.records == living
        assert dict(leader.ledger.workers.records()) == living
        assert len(leader.ledger.cleanup) == 0
        assert not any(gateway.departed for gateway in self.gateways.values())

    @invariant()
    def nobody_alive_is_told_to_be_gone(self) -> None:
        for gateway in self.gateways.values():
            for conn, worker in gateway.conns.items():
                assert not self.gateways[HOME].heard[f"{DISCONNECTED}:{worker}:{gateway.id}:{conn}"]

    @invariant()
    def a_worker_leaves_its_former_connection_before_it_comes_on_a_new_one(self) -> None:
        heard = self.gateways[HOME].heard if HOME in self.gateways else {}
        for owner in self.lost - self.excused:
            if f"{CONNECTED}:{owner.worker}:{owner.node}+:{owner.conn}" in heard:
                assert f"{DISCONNECTED}:{owner.worker}:{owner.node}:{owner.conn}" in heard

    def teardown(self) -> None:
        if self.coordinators:
            self.everybody_settles()


TestWorkerEvents = World.TestCase
TestWorkerEvents.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
