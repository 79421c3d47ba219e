"""Whatever joins, vanishes, answers or stays silent: every connection is cleaned up once, in the fixed order."""

from collections.abc import Collection

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from coordinator.cleanup import STEPS, CleanupQueue, Departure
from iii_cluster.bus.envelopes import Cleanup, Owner
from iii_cluster.cluster.map import Role

SHARDS = ["s1", "s2", "s3"]
GATEWAYS = ["g1", "g2"]
ROLES = dict(STEPS)
ORDER = [step for step, _role in STEPS]


class CleanupMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.shards = set(SHARDS)
        self.gateways = set(GATEWAYS)
        self.unanswered: list[tuple[str, Cleanup]] = []
        self.steps: dict[int, list[str]] = {}
        self.added: list[Departure] = []
        self.done: list[Departure] = []
        self.cleanup = CleanupQueue(self)
        self.cleanup.members(self.shards, self.gateways, self.now)

    # Effects

    def send(self, node: str, envelope: Cleanup) -> None:
        assert node in (self.gateways if ROLES[envelope.step] is Role.GATEWAY else self.shards)
        steps = self.steps.setdefault(envelope.job, [])
        if not steps or steps[-1] != envelope.step:
            steps.append(envelope.step)
        self.unanswered.append((node, envelope))

    def tell(self, departures: list[Departure]) -> bool:
        return len(departures) % 2 == 0

    def finished(self, departures: list[Departure]) -> None:
        self.done.extend(departures)

    def overdue(self, step: str, nodes: Collection[str]) -> None:
        assert nodes
        assert self.now >= self.deadline

    # What may happen

    @rule(count=st.integers(1, 3))
    def workers_leave(self, count: int) -> None:
        new = [Departure(Owner("g1", len(self.added) + index, ""), known=True) for index in range(count)]
        self.added.extend(new)
        self.cleanup.add(new, self.now)

    @rule(data=st.data())
    def somebody_answers(self, data: st.DataObject) -> None:
        if self.unanswered:
            index = data.draw(st.integers(0, len(self.unanswered) - 1))
            node, envelope = self.unanswered.pop(index)
            self.cleanup.acknowledged(node, envelope.job, envelope.step, self.now)

    @rule(shards=st.sets(st.sampled_from(SHARDS)), gateways=st.sets(st.sampled_from(GATEWAYS)))
    def the_map_changes(self, shards: set[str], gateways: set[str]) -> None:
        self.shards, self.gateways = shards, gateways
        self.cleanup.members(shards, gateways, self.now)

    @rule(node=st.sampled_from(SHARDS + GATEWAYS))
    def a_link_is_reset(self, node: str) -> None:
        if node in self.shards | self.gateways:
            self.cleanup.link_reset(node, self.now)

    @rule()
    def what_waited_is_told(self) -> None:
        self.cleanup.told()

    @rule(term=st.integers(1, 5))
    def another_term_begins(self, term: int) -> None:
        self.cleanup.lead(term, self.shards, self.gateways, self.now)

    @rule(seconds=st.floats(0.1, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.deadline = self.cleanup.deadline or 0.0
        self.cleanup.expire(self.now)

    # What must hold

    @invariant()
    def everything_is_cleaned_up_once_and_in_order_of_arrival(self) -> None:
        assert self.done == self.added[: len(self.done)]
        assert len(self.done) + len(self.cleanup) == len(self.added)

    @invariant()
    def steps_keep_their_order(self) -> None:
        for steps in self.steps.values():
            assert steps == [step for step in ORDER if step in steps]

    @invariant()
    def work_left_has_a_deadline(self) -> None:
        assert (self.cleanup.deadline is not None) == bool(len(self.cleanup))

    def teardown(self) -> None:
        for _ in range(len(ORDER) * (len(self.added) + 1)):
            self.time_passes(10.0)
        assert self.done == self.added


TestCleanup = CleanupMachine.TestCase
TestCleanup.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
