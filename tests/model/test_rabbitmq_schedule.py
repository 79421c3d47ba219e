"""Which messages of RabbitMQ run when: order in groups, limits, nothing forgotten."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from iii_cluster.modules.queue.adapters.rabbitmq.schedule import Schedule

GROUPS = st.sampled_from([None, "a", "b", "c"])


class Messages(RuleBasedStateMachine):
    """Messages come, run, fail and end at random. The model: all that came, in order, and what state each is in."""

    @initialize(concurrency=st.integers(1, 4))
    def begin(self, concurrency: int) -> None:
        self.schedule = Schedule(concurrency)
        self.group: dict[int, str | None] = {}
        self.waiting: list[int] = []
        self.running: set[int] = set()
        self.held: set[int] = set()
        self.tag = 0

    def _start(self) -> None:
        for tag in self.schedule.start():
            self.waiting.remove(tag)
            self.running.add(tag)

    @rule(group=GROUPS)
    def take(self, group: str | None) -> None:
        self.tag += 1
        self.group[self.tag] = group
        self.waiting.append(self.tag)
        self.schedule.take(self.tag, group)
        self._start()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(tag)
        self.schedule.end(tag)
        self._start()

    @precondition(lambda self: any(self.group[tag] for tag in self.running))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(tag for tag in self.running if self.group[tag])))
        self.running.remove(tag)
        self.held.add(tag)
        self.schedule.hold(tag)
        self._start()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def try_again(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.held)))
        self.held.remove(tag)
        self.waiting.append(tag)
        self.schedule.again(tag)
        self._start()

    @rule(concurrency=st.integers(0, 4))
    def configure(self, concurrency: int) -> None:
        self.schedule.concurrency = concurrency
        self.limit = max(len(self.running), concurrency)
        self._start()
        assert len(self.running) <= self.limit

    @invariant()
    def what_may_run_runs(self) -> None:
        """Of each group the oldest only, and as many as are allowed."""
        if not hasattr(self, "schedule"):
            return
        live = sorted([*self.waiting, *self.running, *self.held])
        heads: dict[str | None, int] = {group: tag for tag in reversed(live) if (group := self.group[tag]) is not None}
        may = {tag for tag in live if self.group[tag] is None or heads[self.group[tag]] == tag}
        assert self.running <= may
        free = self.schedule.concurrency - len(self.running)
        assert free <= 0 or not (may - self.running - self.held)


TestMessages = Messages.TestCase
