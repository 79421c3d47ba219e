"""Which events may be dispatched when, against a model."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from iii_cluster.modules.events.lanes import Lanes
from iii_cluster.modules.events.scripts import Entry

MAX_RUNNING = 3
MAX_WAITING = 20
MAX_BYTES = 10


def entry(number: int, lane: str = "a", event: bytes | None = b"{}") -> Entry:
    return Entry((number, 0), lane.encode(), b"[]", event)


class LanesModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes(MAX_RUNNING, MAX_WAITING, MAX_BYTES)
        self.number = 0
        self.waiting: dict[str, list[int]] = {}
        self.running: dict[str, Entry] = {}

    @precondition(lambda self: self.lanes.room)
    @rule(lane=st.sampled_from("abcdef"), size=st.integers(0, 6))
    def arrives(self, lane: str, size: int) -> None:
        self.number += 1
        first = self.lanes.add(entry(self.number, lane, b"x" * size))
        assert first == (not self.waiting.get(lane) and lane not in self.running)
        self.waiting.setdefault(lane, []).append(self.number)

    @rule()
    def starts(self) -> None:
        taken = self.lanes.take()
        startable = [lane for lane, numbers in self.waiting.items() if numbers and lane not in self.running]
        if taken is None:
            assert not startable or len(self.running) == MAX_RUNNING
            return
        lane = taken.lane.decode()
        assert lane in startable
        assert taken.id[0] == self.waiting[lane].pop(0)
        self.running[lane] = taken

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from(sorted(self.running)))
        self.lanes.ended(self.running.pop(lane))

    @invariant()
    def counts(self) -> None:
        waiting = sum(map(len, self.waiting.values()))
        assert self.lanes.held == waiting + len(self.running)
        assert len(self.running) <= MAX_RUNNING
        assert self.lanes.room == (waiting < MAX_WAITING)


LanesModel.TestCase.settings = settings(max_examples=100, stateful_step_count=60)
TestLanes = LanesModel.TestCase


def test_only_so_many_bytes_wait_in_memory() -> None:
    lanes = Lanes(MAX_RUNNING, MAX_WAITING, MAX_BYTES)
    for number, size in enumerate([8, 8, 8, 2], 1):
        lanes.add(entry(number, event=b"x" * size))
    kept = []
    while taken := lanes.take():
        kept.append(taken.event)
        lanes.ended(taken)
    assert kept == [b"x" * 8, None, None, b"xx"]
