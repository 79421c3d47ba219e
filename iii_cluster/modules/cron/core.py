"""When which job runs. Pure: events in, effects out; times are microseconds of the Redis clock, ticks are seconds.

A record in Redis remembers the last claimed tick of each job, whether its handler is done, and when the job was first
known. Whoever owns a job begins by taking the record over, so it does not matter how often owners change:

take -> (a claimed tick is unfinished: adopt) -> wait for the next tick -> claim -> run -> finish -> wait ...

What is due is the first tick after the last claimed one that is not older than CATCH_UP: what passed while nobody could
claim is caught up. What passes while a handler of the same job runs is skipped when the handler is done.
"""

from collections.abc import Callable, Container, Mapping
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import NamedTuple, Protocol

from .expression import Expression
from .instants import next_after

SECOND = 1_000_000  # microseconds
CATCH_UP = 30  # seconds: older ticks never run
RETRY = 1 * SECOND  # between attempts to reach Redis
# A former owner may have claimed just before it learned that it owns no more: its call may still be on its way.
SETTLE = 1 * SECOND
# After a job changed hands, or this process stood still, calls take long though handlers do not: nothing is skipped.
CALM = 5 * SECOND
LATE = SECOND // 10  # a tick that is claimed later than this is being caught up

MAX_VOID = 100  # entries of the heap that count for nothing, beside as many as there are jobs


class Record(NamedTuple):
    """What Redis knows of a job."""

    known: int = 0  # since when
    tick: int = 0  # last claimed, seconds; or last skipped
    started: int = 0  # when it was claimed; 0: its handler is done
    gateway: str = ""  # that its call went to; "": none, or nobody could say so any more


class Effects(Protocol):
    """One at a time per job; each but the last three is answered by a call of the core with the same job."""

    def take(self, job: str, token: int) -> None:
        """Read the record as its owner: `taken` or `failed`."""

    def adopt(self, job: str, token: int, tick: int, started: int) -> None:
        """Find out what became of a delivery of an earlier owner, and wait for its end: `ended` or `lost`."""

    def claim(self, job: str, token: int, tick: int) -> None:
        """`claimed`, `early`, `claimed_before` or `failed`."""

    def run(self, job: str, token: int, tick: int, now: int) -> None:
        """Call condition and handler: `ended`."""

    def finish(self, job: str, token: int, tick: int, skipped: int) -> None:
        """Write that the handler of `tick` is done, and that no tick up to `skipped` is to run."""

    def leave(self, job: str, token: int) -> None:
        """Write that the job is gone: if it comes back, it begins anew."""

    def drop(self, job: str) -> None:
        """Forget what is under way."""


class Phase(Enum):
    TAKING = auto()
    FAILED = auto()  # due: take again
    SETTLING = auto()  # due: adopt
    ADOPTING = auto()
    WAITING = auto()  # due: the next tick, if there is any
    CLAIMING = auto()
    RUNNING = auto()


class _Job:
    __slots__ = ("calm", "due", "expression", "gateway", "last", "phase", "started", "tick", "token")

    def __init__(self, expression: Expression, token: int) -> None:
        self.expression = expression
        self.token = token
        self.phase = Phase.TAKING
        self.due: int | None = None  # when to do what the phase waits for
        self.tick = 0  # the last one claimed
        self.gateway = ""  # that an earlier owner's call went to
        self.last = 0  # neither this one nor an earlier one is to be claimed
        self.started = 0  # when its handler was called
        self.calm = 0  # a call begun before this may take long though the handler does not


class CronCore:
    """The jobs of one shard."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._jobs: dict[str, _Job] = {}
        self._due: list[tuple[int, str]] = []  # heap; entries that a job's `due` does not confirm are void
        self._calm = 0  # as of a job

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, key: str) -> bool:
        return key in self._jobs

    def keys(self) -> list[str]:
        return list(self._jobs)

    def phase(self, key: str) -> Phase:
        return self._jobs[key].phase

    @property
    def running(self) -> int:
        return sum(job.phase is Phase.RUNNING for job in self._jobs.values())

    @property
    def next_due(self) -> int | None:
        """When `expire` has something to do."""
        while self._due and not self._confirmed(self._due[0]):
            heappop(self._due)
        return self._due[0][0] if self._due else None

    # -- what changes from outside

    def update(self, jobs: Mapping[str, Expression], token: Callable[[str], int]) -> None:
        """These are all jobs of the cluster now; `token` is 0 for those that this shard does not own."""
        for key, job in list(self._jobs.items()):
            if key not in jobs or token(key) != job.token:
                del self._jobs[key]
                self._effects.drop(key)
                if key not in jobs and token(key) == job.token:
                    self._effects.leave(key, job.token)
        for key, expression in jobs.items():
            if key not in self._jobs and (owned := token(key)):
                self._jobs[key] = _Job(expression, owned)
                self._effects.take(key, owned)

    def expire(self, now: int) -> None:
        """Do what is due."""
        while (due := self.next_due) is not None and due <= now:
            _, key = heappop(self._due)
            job = self._jobs[key]
            job.due = None
            if job.phase is Phase.WAITING:
                self._claim(key, job, now)
            elif job.phase is Phase.SETTLING:
                self._adopt(key, job)
            elif job.phase is Phase.FAILED:
                self._take(key, job)

    def stood_still(self, now: int) -> None:
        """This process had no time for what happened meanwhile."""
        self._calm = now + CALM

    # -- answers to effects

    def taken(self, key: str, now: int, record: Record) -> None:
        job = self._jobs[key]
        job.tick = record.tick
        job.last = max(record.tick, record.known // SECOND)
        job.started = record.started
        job.gateway = record.gateway
        job.calm = now + CALM if record.known < now else 0
        if not record.started:
            self._wait(key, job, now)
        elif now < record.started + SETTLE:
            self._pause(key, job, Phase.SETTLING, record.started + SETTLE)
        else:
            self._adopt(key, job)

    def failed(self, key: str, now: int) -> None:
        """Redis could not be reached, or would not. What it did is found out by taking the record again."""
        self._pause(key, self._jobs[key], Phase.FAILED, now + RETRY)

    def claimed(self, key: str, tick: int, now: int) -> None:
        """The tick is this owner's to run."""
        job = self._jobs[key]
        job.tick = job.last = tick
        self._run(key, job, now)

    def early(self, key: str, now: int) -> None:
        """The tick is still to come: the clock was ahead and has been set."""
        self._wait(key, self._jobs[key], now)

    def claimed_before(self, key: str) -> None:
        """The record is ahead of what is known here."""
        self._take(key, self._jobs[key])

    def lost(self, key: str, now: int, gateways: Container[str]) -> None:
        """None of the gateways that live knows the delivery. It reached no worker, unless it went to one that died."""
        job = self._jobs[key]
        may_have_run = job.gateway and job.gateway not in gateways
        if may_have_run or job.tick < max(job.last, now // SECOND - CATCH_UP):  # or of an earlier life of the job
            self.ended(key, now, ran=False)
        else:
            job.calm = now + CALM
            self._run(key, job, now)

    def ended(self, key: str, now: int, *, ran: bool = True) -> None:
        """The handler of the last claimed tick is done; without `ran` nobody knows since when."""
        job = self._jobs[key]
        if ran:
            job.last = max(job.last, self._passed(job, now) // SECOND)
        job.started = 0
        self._effects.finish(key, job.token, job.tick, job.last)
        self._wait(key, job, now)

    # -- inside

    def _confirmed(self, entry: tuple[int, str]) -> bool:
        job = self._jobs.get(entry[1])
        return job is not None and job.due == entry[0]

    def _passed(self, job: _Job, now: int) -> int:
        """Up to when ticks passed while the handler ran."""
        if job.started < max(job.calm, self._calm):
            return 0
        if job.started > job.tick * SECOND + LATE:
            # As if it had begun in time; twice as long, so that a handler slower than its schedule comes to an end.
            return min(now, job.tick * SECOND + 2 * (now - job.started))
        return now

    def _pause(self, key: str, job: _Job, phase: Phase, due: int) -> None:
        job.phase, job.due = phase, due
        heappush(self._due, (due, key))
        if len(self._due) > 2 * len(self._jobs) + MAX_VOID:
            self._due = [(job.due, key) for key, job in self._jobs.items() if job.due is not None]
            heapify(self._due)

    def _take(self, key: str, job: _Job) -> None:
        job.phase = Phase.TAKING
        self._effects.take(key, job.token)

    def _adopt(self, key: str, job: _Job) -> None:
        job.phase = Phase.ADOPTING
        job.calm = 0  # if a gateway says that the handler runs, it has run since
        self._effects.adopt(key, job.token, job.tick, job.started)

    def _run(self, key: str, job: _Job, now: int) -> None:
        job.phase = Phase.RUNNING
        job.started = now
        self._effects.run(key, job.token, job.tick, now)

    def _claim(self, key: str, job: _Job, now: int) -> None:
        tick = _next(job, now)
        if tick is not None and tick * SECOND <= now:
            job.phase = Phase.CLAIMING
            self._effects.claim(key, job.token, tick)
        else:
            self._wait(key, job, now)

    def _wait(self, key: str, job: _Job, now: int) -> None:
        tick = _next(job, now)
        job.phase, job.due = Phase.WAITING, None
        if tick is not None:
            self._pause(key, job, Phase.WAITING, tick * SECOND)


def _next(job: _Job, now: int) -> int | None:
    """The tick that is to be claimed next."""
    return next_after(job.expression, max(job.last, now // SECOND - CATCH_UP - 1))
