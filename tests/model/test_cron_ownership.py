"""Whatever happens to the owners of a job, each of its ticks runs once, and never two at a time."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from iii_cluster.modules.cron.core import CATCH_UP, SECOND, CronCore, Record
from iii_cluster.modules.cron.expression import parse
from iii_cluster.modules.cron.instants import next_after

JOB = "j"
START = 1_767_225_600  # seconds
NODES = 3


class Store:
    """What the scripts do to the record of the job."""

    def __init__(self) -> None:
        self.token = 0
        self.known = 0
        self.gone = False
        self.tick = 0
        self.started = 0
        self.claimer = 0
        self.gateway = ""

    def take(self, token: int, now: int) -> Record | None:
        if self.token > token:
            return None
        if not self.known or self.gone:
            self.known, self.gone = now, False
        self.token = token
        return Record(self.known, self.tick, self.started, self.gateway)

    def claim(self, token: int, tick: int, now: int) -> str:
        if self.token > token:
            return "fenced"
        if self.tick == tick and self.started and self.claimer == token:
            return "claimed"
        if self.tick >= tick:
            return "before"
        if tick * SECOND > now:
            return "early"
        self.token = self.claimer = token
        self.tick, self.started, self.gateway = tick, now, ""
        return "claimed"

    def sent(self, token: int, tick: int, gateway: str) -> None:
        if (self.token, self.tick) == (token, tick) and self.started:
            self.gateway = gateway

    def finish(self, token: int, tick: int, skipped: int) -> None:
        if (self.token, self.tick) == (token, tick):
            self.tick, self.started = skipped, 0

    def leave(self, token: int) -> None:
        self.gone = self.gone or self.token == token


class Node:
    """One incarnation of a shard. Its effects are carried out when the model says so."""

    def __init__(self, world: "CronMachine") -> None:
        self.world = world
        self.core = CronCore(self)
        self.ahead = 0  # of its clock before Redis', microseconds
        self.pending: list[Callable[[], None]] = []

    def later(self, step: Callable[[], None]) -> None:
        self.pending.append(step)

    @property
    def now(self) -> int:
        return self.world.now + self.ahead

    def take(self, job: str, token: int) -> None:
        def ask() -> None:
            record = self.world.store.take(token, self.world.now)
            now = self.world.now
            if record is None:
                self.later(lambda: self.core.failed(JOB, now))
            else:
                self.later(lambda: self.core.taken(JOB, now, record))

        self.later(ask)

    def claim(self, job: str, token: int, tick: int) -> None:
        def ask() -> None:
            verdict = self.world.store.claim(token, tick, self.world.now)
            self.later(lambda: self._claimed(verdict, token, tick))

        self.later(ask)

    def _claimed(self, verdict: str, token: int, tick: int) -> None:
        if verdict == "early":
            self.ahead = 0
            self.core.early(JOB, self.now)
        elif verdict == "before":
            self.core.claimed_before(JOB)
        elif verdict == "fenced" or self.world.token_at(self) != token:
            self.core.failed(JOB, self.now)
        else:
            self.core.claimed(JOB, tick, self.now)

    def run(self, job: str, token: int, tick: int, now: int) -> None:
        # Sent in the same moment in which the token was checked.
        self.world.deliver(self, token, tick)

    def adopt(self, job: str, token: int, tick: int, started: int) -> None:
        def ask() -> None:
            gateway = self.world.gateway
            if self.world.serving == tick:
                self.world.waiting = self
            elif tick in self.world.known:
                self.later(lambda: self.world._known_end(self, ran=False))
            else:
                self.later(lambda: self.core.lost(JOB, self.now, [gateway]))

        self.later(ask)

    def finish(self, job: str, token: int, tick: int, skipped: int) -> None:
        self.world.writes.append(lambda: self.world.store.finish(token, tick, skipped))

    def leave(self, job: str, token: int) -> None:
        self.world.writes.append(lambda: self.world.store.leave(token))

    def drop(self, job: str) -> None:
        self.pending.clear()
        if self.world.waiting is self:
            self.world.waiting = None


class CronMachine(RuleBasedStateMachine):
    """Three shards, a gateway, one job. Calls arrive at once, so a claim that was confirmed is known to the gateway."""

    @initialize(every=st.sampled_from(["* * * * * *", "*/3 * * * * *", "1,2,7/5 * * * * *"]), steady=st.booleans())
    def begin(self, every: str, steady: bool) -> None:
        self.steady = steady  # the job is never gone and no clock is wrong: every tick has to be accounted for
        self.expression = parse(every)
        self.now = START * SECOND + 500_000
        self.store = Store()
        self.epoch = 1
        self.owner: Node | None = None
        self.wanted = True
        self.nodes = [Node(self) for _ in range(NODES)]
        self.serving: int | None = None  # the tick whose handler runs
        self.waiting: Node | None = None  # who is told of its end
        self.gateways = 1  # so far
        self.known: set[int] = set()  # ticks that the gateway knows
        self.begun: list[int] = []  # ticks, in the order their handlers were called
        self.late: list[int] = []  # how old each was then
        self.writes: list[Callable[[], None]] = []  # on their way to Redis
        self.runs: list[list[int]] = []  # of each: tick, when it began, when its end was known (0: not yet)
        self._give(self.nodes[0])

    def token_at(self, node: Node) -> int:
        return self.epoch if node is self.owner else 0

    @property
    def gateway(self) -> str:
        return f"g-{self.gateways}"

    def deliver(self, node: Node, token: int, tick: int) -> None:
        self.store.sent(token, tick, self.gateway)
        if tick in self.known:  # the gateway knows the name
            if self.serving == tick:
                self.waiting = node
            else:
                node.later(lambda: self._known_end(node, ran=False))
            return
        assert self.serving is None, "two ticks at the same time"
        assert self.wanted
        assert self.now >= tick * SECOND, "before its time"
        self.begun.append(tick)
        self.known.add(tick)
        self.late.append(self.now // SECOND - tick)
        self.runs.append([tick, self.now, 0])
        self.serving = tick
        self.waiting = node

    def _known_end(self, node: Node, ran: bool = True) -> None:
        self.runs[-1][2] = self.now
        node.core.ended(JOB, node.now, ran=ran)

    def _give(self, node: Node | None) -> None:
        """The map changes: the new owner and the old one learn it, in this order or in the other."""
        self.owner = node
        self.epoch += 1
        for other in self.nodes:
            self._update(other)

    def _update(self, node: Node) -> None:
        jobs = {JOB: self.expression} if self.wanted else {}
        node.core.update(jobs, lambda _: self.token_at(node))

    def _step(self, node: Node) -> None:
        if node.pending:
            node.pending.pop(0)()

    # What may happen

    @rule(node=st.integers(0, NODES - 1))
    def a_reply_arrives(self, node: int) -> None:
        self._step(self.nodes[node])

    @precondition(lambda self: self.writes)
    @rule()
    def a_write_arrives(self) -> None:
        self.writes.pop(0)()

    @rule(millis=st.integers(1, 1500))
    def time_passes(self, millis: int) -> None:
        self.now += millis * 1000
        for node in self.nodes:
            node.core.expire(node.now)

    @rule(millis=st.integers(0, 40))
    def the_handler_ends(self, millis: int) -> None:
        if self.serving is None:
            return
        node, self.serving, self.waiting = self.waiting, None, None
        if node is not None:
            node.later(lambda: self._known_end(node))

    @rule(to=st.integers(0, NODES - 1))
    def the_slot_moves(self, to: int) -> None:
        self._give(self.nodes[to])

    @rule(at=st.integers(0, NODES - 1))
    def a_shard_is_killed(self, at: int) -> None:
        dead, fresh = self.nodes[at], Node(self)
        self.nodes[at] = fresh
        if self.waiting is dead:
            self.waiting = None
        if self.owner is dead:
            self._give(self.nodes[(at + 1) % NODES])
        else:
            self._update(fresh)

    @rule()
    def the_gateway_is_killed(self) -> None:
        """Another one takes its place, and knows nothing. Who waits hears that the call was stopped."""
        self.gateways += 1
        self.known.clear()
        self.the_handler_ends(0)

    @precondition(lambda self: not self.steady)
    @rule(at=st.integers(0, NODES - 1), millis=st.integers(-2000, 2000))
    def a_clock_is_wrong(self, at: int, millis: int) -> None:
        self.nodes[at].ahead = millis * 1000

    @precondition(lambda self: not self.steady)
    @rule()
    def the_job_goes_or_comes_back(self) -> None:
        self.wanted = not self.wanted
        for node in self.nodes:
            self._update(node)

    # What must hold

    @invariant()
    def every_tick_runs_once_and_in_order(self) -> None:
        begun: list[int] = getattr(self, "begun", [])
        assert begun == sorted(set(begun))
        assert all(late <= CATCH_UP + 1 for late in getattr(self, "late", []))

    def teardown(self) -> None:
        """Left in peace, the owner comes to run ticks in time."""
        if not hasattr(self, "nodes"):
            return
        if not self.wanted:
            self.the_job_goes_or_comes_back()
        if self.owner is None:
            self._give(self.nodes[0])
        for node in self.nodes:
            node.ahead = 0
        for _ in range(400):
            self.now += 100_000
            while any(node.pending for node in self.nodes) or self.writes or self.serving is not None:
                while self.writes:
                    self.writes.pop(0)()
                self.the_handler_ends(0)
                for node in self.nodes:
                    self._step(node)
            for node in self.nodes:
                node.core.expire(node.now)
        assert self.late[-1] == 0
        if self.steady:
            self._account()

    def _account(self) -> None:
        """A tick that did not run passed while a handler ran, or was too old when somebody could run it."""
        tick: int | None = self.store.known // SECOND
        while (tick := next_after(self.expression, tick or 0)) is not None and tick * SECOND < self.now - SECOND:
            later = next((began for other, began, _ in self.runs if other > tick), self.now)
            assert (
                tick in self.begun
                or any(began <= tick * SECOND <= end for _, began, end in self.runs)
                or any(
                    other < tick and tick * SECOND <= 2 * end - 2 * began + other * SECOND
                    for other, began, end in self.runs
                )
                or later > (tick + CATCH_UP) * SECOND
            ), f"{tick - START} did not run"


TestCronOwnership = CronMachine.TestCase
TestCronOwnership.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
