"""Whatever is enqueued, fails, gets lost on its way or changes its owner: jobs of a lane run until they are done, those
of a message group in order and one at a time, and never more at once than allowed."""

from collections.abc import Mapping

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from iii_cluster.modules.queue.adapter import Job
from iii_cluster.modules.queue.adapters.redis.lane import LEASE, Lane, Result, Taken, Turn

LIMIT = 3
ATTEMPTS = 3
DELAY = 1.0  # seconds


class Store:
    """What the scripts do, in one message group per name; group "" is a standard lane's and does not hold anybody."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Job]] = {}
        self.tries: dict[str, int] = {}
        self.active: dict[str, tuple[Job, float]] = {}
        self.delayed: dict[str, tuple[Job, float]] = {}  # by job id
        self.done: list[str] = []
        self.dead: list[str] = []
        self.number = 0

    def enqueue(self, job: Job) -> None:
        self.waiting.setdefault(job.group, []).append(job)

    def held(self, group: str) -> bool:
        jobs = [job for job, _at in (*self.active.values(), *self.delayed.values())]
        return group != "" and any(job.group == group for job in jobs)

    def turn(self, turn: Turn, now: float) -> list[Taken]:
        for id in turn.renew:
            if id in self.active:
                self.active[id] = (self.active[id][0], now + LEASE)
        for result in turn.results:
            self.tell(result, now)
        for id, (job, due) in sorted(self.delayed.items(), key=lambda item: -item[1][1]):
            if due <= now:
                del self.delayed[id]
                self.waiting.setdefault(job.group, []).insert(0, job)
        taken: list[Taken] = []
        for group, jobs in self.waiting.items():
            while jobs and len(taken) < turn.want and not self.held(group):
                job = jobs.pop(0)
                self.active[job.id] = (job, now + LEASE)
                taken.append(Taken(job, self.tries.get(job.id, 0)))
        return taken

    def tell(self, result: Result, now: float) -> None:
        job = result.taken.job
        if self.active.pop(job.id, None) is None:
            return
        self.tries[job.id] = result.taken.failures
        if not result.error:
            self.done.append(job.id)
        elif result.delay is None:
            self.dead.append(job.id)
        else:
            self.delayed[job.id] = (job, now + result.delay / 1000)

    def due(self) -> float | None:
        return min((due for _job, due in self.delayed.values()), default=None)

    def flying(self) -> list[tuple[Taken, float]]:
        return [(Taken(job, self.tries.get(id, 0)), lease) for id, (job, lease) in self.active.items()]


class LaneMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.store = Store()
        self.count = 0
        self.serving: dict[str, Taken] = {}  # by name of delivery: handlers that run
        self.ended: dict[str, bytes] = {}  # by name: what gateways remember
        self.listening: set[str] = set()  # names whose ends the present owner is told
        self.delivered: set[str] = set()  # names, by the present owner
        self.served: list[str] = []  # ids that handlers finished without an error
        self.lane = Lane(self, LIMIT, self.now)

    # Effects

    def deliver(self, taken: Taken) -> None:
        name = f"{taken.job.id}:{taken.attempt}"
        assert name not in self.delivered, "twice by the same owner"
        self.delivered.add(name)
        self.listening.add(name)
        if name not in self.serving and name not in self.ended:
            group = taken.job.group
            assert not group or group not in {other.job.group for other in self.serving.values()}
            self.serving[name] = taken

    def retry_delay(self, failures: int) -> int | None:
        return None if failures >= ATTEMPTS else int(DELAY * 1000)

    # What may happen

    @rule(group=st.sampled_from(["", "a", "b"]))
    def somebody_enqueues(self, group: str) -> None:
        self.count += 1
        self.store.enqueue(Job(f"j{self.count}", b"", 0, group=group))
        self.lane.woken()

    @rule(way=st.sampled_from(["done", "done", "done", "unsent", "unanswered"]))
    def a_turn(self, way: str) -> None:
        turn = self.lane.turn(self.now)
        if turn is None:
            return
        if way == "unsent":
            self.lane.lost()
            self.lane.found([taken for taken, _lease in self.store.flying()])
            return
        taken = self.store.turn(turn, self.now)
        if way == "unanswered":
            self.lane.lost()
            self.lane.found([taken for taken, _lease in self.store.flying()])
        else:
            self.lane.turned(taken, sum(map(len, self.store.waiting.values())), self.store.due())

    @rule(error=st.sampled_from([b"", b"", b"{}"]), data=st.data())
    def a_handler_answers(self, error: bytes, data: st.DataObject) -> None:
        if self.serving:
            self.answer(data.draw(st.sampled_from(sorted(self.serving))), error)

    def answer(self, name: str, error: bytes) -> None:
        taken = self.serving.pop(name)
        self.ended[name] = error
        if not error:
            self.served.append(taken.job.id)

    @rule()
    def ends_arrive(self) -> None:
        for name in sorted(self.listening & self.ended.keys()):
            self.listening.remove(name)
            self.lane.ended(name.partition(":")[0], self.ended[name])

    @rule()
    def time_passes(self) -> None:
        self.now += DELAY

    @rule(complete=st.booleans())
    def another_shard_takes_over(self, complete: bool) -> None:
        self.listening.clear()
        self.delivered.clear()
        self.lane = Lane(self, LIMIT, self.now)
        self.lane.inherited(self.store.flying())
        self.adopt(complete)

    @rule()
    def the_owner_dies_while_a_turn_is_on_its_way(self) -> None:
        turn = self.lane.turn(self.now)
        if turn is not None:
            self.store.turn(turn, self.now)
        self.another_shard_takes_over(False)

    @rule(complete=st.booleans())
    def gateways_are_asked_again(self, complete: bool) -> None:
        self.adopt(complete)

    def adopt(self, complete: bool) -> None:
        names = {f"{taken.job.id}:{taken.attempt}": taken.job.id for taken in self.lane.unclear}
        serving = self.serving.keys() & names.keys()
        self.listening |= serving
        ended: Mapping[str, bytes] = {names[name]: self.ended[name] for name in self.ended.keys() & names.keys()}
        self.lane.adopted({names[name] for name in serving}, ended, complete, self.now)
        assert not complete or not self.lane.unclear

    # What must hold

    @invariant()
    def handlers_keep_to_the_limit(self) -> None:
        assert len(self.serving) <= LIMIT
        assert self.lane.running <= LIMIT

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """Jobs that could be taken are, sooner or later, and somebody asks for it."""
        if any(self.store.waiting.values()) and self.lane.running < LIMIT and not self.store.active:
            assert self.lane.turn(self.now) is not None
            self.lane.lost()
            self.lane.found([taken for taken, _lease in self.store.flying()])

    @invariant()
    def groups_keep_their_order(self) -> None:
        for group in ("a", "b"):
            jobs = [id for id in (*self.store.done, *self.store.dead) if id in self.members(group)]
            finished = [id for id in self.members(group) if id in jobs]
            assert finished == self.members(group)[: len(finished)]

    def members(self, group: str) -> list[str]:
        if not hasattr(self, "_groups"):
            self._groups: dict[str, list[str]] = {"a": [], "b": []}
        known = self._groups[group]
        stored = [*(job for jobs in self.store.waiting.values() for job in jobs)]
        stored += [job for job, _at in (*self.store.active.values(), *self.store.delayed.values())]
        for job in sorted(stored, key=lambda job: int(job.id[1:])):
            if job.group == group and job.id not in known:
                known.append(job.id)
        return known

    @invariant()
    def every_job_is_somewhere(self) -> None:
        store = self.store
        ids = [job.id for jobs in store.waiting.values() for job in jobs]
        ids += [*store.active, *store.delayed, *store.done, *store.dead]
        assert sorted(ids) == sorted(f"j{number + 1}" for number in range(self.count))

    @invariant()
    def what_is_done_was_served_once(self) -> None:
        assert len(set(self.served)) == len(self.served)
        assert set(self.store.done) <= set(self.served)

    def teardown(self) -> None:
        for _ in range(10 * (self.count + 1)):
            self.adopt(complete=True)
            self.a_turn("done")
            for name in sorted(self.serving):
                self.answer(name, b"")
            self.ends_arrive()
            self.time_passes()
        assert len(self.store.done) + len(self.store.dead) == self.count
        assert not self.lane.running
        assert not self.lane.untold


TestLane = LaneMachine.TestCase
TestLane.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
