from collections.abc import Collection

from msgspec.structs import replace

from coordinator.cleanup import STEP_TIMEOUT, Departure
from coordinator.ledger import Ledger
from coordinator.workers import CONNECTED, DISCONNECTED, WorkerRecord
from iii_cluster.bus.envelopes import Cleanup, CleanupDone
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role

MAP = ClusterMap(
    term=1,
    epoch=1,
    leader="coordinator-1",
    nodes={
        "gateway-1": NodeInfo(id="gateway-1", role=Role.GATEWAY),
        "shard-1": NodeInfo(id="shard-1", role=Role.SHARD),
    },
)


class Office:
    """A ledger whose term is a variable."""

    def __init__(self, records: dict[str, WorkerRecord] | None = None) -> None:
        self.term = 1
        self.sent: list[tuple[str, Cleanup]] = []
        self.events: list[str] = []
        self.redis = dict(records or {})
        self.ledger = Ledger(self, lambda: self.term)
        self.ledger.take_over(1, self.redis)
        self.ledger.resume(1, MAP, 0.0)

    def up(self, conn: int, worker: str) -> None:
        self.ledger.heard(lambda: self.ledger.workers.up("gateway-1", conn, worker, False), 0.0)

    def down(self, conn: int, worker: str) -> None:
        self.ledger.heard(lambda: self.ledger.workers.down("gateway-1", conn, worker), 0.0)

    def answer(self) -> None:
        """Everything asked so far is done."""
        sent, self.sent = self.sent, []
        for node, asked in sent:
            self.ledger.cleanup_done(node, CleanupDone(asked.job, asked.step), 0.0)

    def send(self, node: str, envelope: Cleanup) -> None:
        self.sent.append((node, envelope))

    def store(self, worker: str, record: WorkerRecord) -> None:
        self.redis[worker] = record
        self.ledger.workers.stored({worker: record})

    def erase(self, worker: str) -> None:
        self.redis.pop(worker, None)

    def fire(self, event: str, worker: str, once: str) -> bool:
        self.events.append(f"{event} {worker}")
        return True

    def finished(self, departures: list[Departure]) -> None: ...

    def overdue(self, step: str, nodes: Collection[str]) -> None: ...


def steps(office: Office) -> list[tuple[str, str, int]]:
    return [(node, asked.step, asked.term) for node, asked in office.sent]


def test_a_loss_is_cleaned_up_told_of_and_confirmed_before_the_record_goes() -> None:
    office = Office()
    office.up(1, "w")
    office.down(1, "w")
    for step in ("functions", "triggers", "invocations"):
        assert office.events == [f"{CONNECTED} w"]
        assert [asked.step for _, asked in office.sent] == [step]
        office.answer()
    assert office.events == [f"{CONNECTED} w", f"{DISCONNECTED} w"]
    assert steps(office) == [("gateway-1", "told", 1)]
    assert "w" in office.redis
    office.answer()
    assert office.redis == {}


def test_mail_timers_and_answers_that_come_after_the_lease_ran_out_do_nothing() -> None:
    office = Office()
    office.up(1, "w")
    office.down(1, "w")
    events, asked, redis = list(office.events), steps(office), dict(office.redis)
    office.term = 0
    office.up(2, "x")
    office.ledger.map_changed(ClusterMap(), 0.0)
    office.ledger.cleanup_done("shard-1", CleanupDone(1, "functions"), 0.0)
    office.ledger.link_reset("shard-1", 0.0)
    office.ledger.expire(10 * STEP_TIMEOUT)
    office.ledger.told()
    assert (office.events, steps(office), office.redis) == (events, asked, redis)


def test_what_was_told_meanwhile_is_acted_on_by_whoever_leads_again() -> None:
    office = Office()
    office.up(1, "w")
    office.down(1, "w")
    office.term = 0
    office.up(2, "x")
    office.sent.clear()
    office.ledger.depose()
    office.term = 3
    office.ledger.take_over(3, None)
    assert office.sent == []
    office.ledger.resume(3, MAP, 5.0)
    assert steps(office) == [("shard-1", "functions", 3)]
    assert office.events == [f"{CONNECTED} w", f"{CONNECTED} x"]
    while office.sent:
        office.answer()
    assert office.events[2:] == [f"{DISCONNECTED} w"]
    assert set(office.redis) == {"x"}


def test_what_a_gateway_told_before_it_was_lost_is_cleaned_up_after_it() -> None:
    office = Office()
    office.term = 0
    office.ledger.depose()
    office.up(1, "w")
    office.term = 3
    office.ledger.take_over(3, None)
    without = replace(MAP, nodes={"shard-1": MAP.nodes["shard-1"]})
    office.ledger.resume(3, without, 5.0)
    while office.sent:
        office.answer()
    assert office.events == [f"{CONNECTED} w", f"{DISCONNECTED} w"]
    assert office.redis == {}


def test_whoever_saw_another_leader_starts_from_the_records() -> None:
    office = Office()
    office.up(1, "w")
    office.ledger.abandon()
    office.down(1, "w")
    assert len(office.ledger.workers) == 0
    office.term = 5
    office.ledger.take_over(5, {"v": WorkerRecord("gateway-9", 1)})
    office.ledger.resume(5, MAP, 0.0)
    assert steps(office) == [("shard-1", "functions", 5)]


def test_a_term_that_is_over_by_then_is_not_resumed() -> None:
    office = Office()
    office.term = 0
    office.ledger.depose()
    office.ledger.take_over(2, None)
    office.ledger.resume(2, MAP, 0.0)
    office.up(1, "w")
    assert office.events == []


def test_what_a_gateway_announced_to_an_earlier_leadership_counts_for_nothing() -> None:
    office = Office()
    office.ledger.depose()
    office.ledger.abandon()
    office.term = 3
    office.ledger.take_over(3, {"w": WorkerRecord("gateway-1", 7)}, epoch=5)
    office.ledger.announced("gateway-1", 1, 0.0)  # late: the worker came while another one led
    office.ledger.resume(3, MAP, 0.0)
    office.ledger.announced("gateway-1", 5, 0.0)
    assert not office.sent
    office.ledger.announced("gateway-1", 6, 0.0)
    assert [asked.owners[0].worker for _, asked in office.sent] == ["w"]
