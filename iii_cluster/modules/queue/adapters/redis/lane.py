"""What the owner of a lane knows of it: which jobs run, how others ended, what to ask Redis for next. Pure.

It goes in turns. A turn tells Redis how jobs ended and takes new ones, as many as may run; while it is on its way
results gather for the next. A turn whose reply was lost is made good by reading what is in flight there.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, structs

from iii_cluster.modules.queue.adapter import Job

LEASE = 30.0  # seconds; of use only to a successor that cannot ask every gateway
RENEWAL = LEASE / 3  # seconds between renewals
MAX_TAKEN = 1000  # jobs taken in one turn
MAX_RESULTS = 1000  # results told in one turn


class Taken(Struct, frozen=True):
    """A job in flight in Redis. `failures` so far; `redriven` counts how often it began anew."""

    job: Job
    failures: int = 0
    redriven: int = 0

    @property
    def attempt(self) -> str:
        """Names the attempt under way, among all the job ever had."""
        return f"{self.redriven}.{self.failures + 1}" if self.redriven else str(self.failures + 1)

    def delivered(self) -> "Taken":
        """Without the payload, which others hold now."""
        return Taken(structs.replace(self.job, data=b""), self.failures, self.redriven)


class Result(Struct, frozen=True):
    """How an attempt ended: done; to be repeated after `delay` ms; or dead of `error`."""

    taken: Taken
    delay: int | None = None
    error: bytes = b""


class Turn(Struct, frozen=True):
    """One exchange with Redis."""

    results: Sequence[Result]
    want: int  # new jobs
    renew: Collection[str]  # ids


class Effects(Protocol):
    def deliver(self, taken: Taken) -> None:
        """Call the handler; `Lane.ended` will be told, later than this returns."""

    def retry_delay(self, failures: int) -> int | None:
        """ms before a job that failed this often is repeated; None: never."""


class Lane:
    """`limit`: handlers at once. Times are seconds of one monotonic clock."""

    def __init__(self, effects: Effects, limit: int, now: float) -> None:
        self.limit = limit
        self._effects = effects
        self._running: dict[str, Taken] = {}  # by job id; their ends will be told
        self._unclear: dict[str, tuple[Taken, float]] = {}  # an earlier owner's, until their leases end
        self._results: dict[str, Result] = {}  # not told to Redis yet, by job id
        self._telling: dict[str, Result] = {}  # in the turn on its way
        self._more = True  # there may be jobs to take
        self._due: float | None = None  # when the next delayed job is
        self._renewed = now

    @property
    def unclear(self) -> Collection[Taken]:
        """Jobs of an earlier owner of which it is not known whether they reached a handler."""
        return [taken for taken, _lease in self._unclear.values()]

    @property
    def running(self) -> int:
        """Jobs that handlers have, or may have."""
        return len(self._running) + len(self._unclear)

    @property
    def untold(self) -> int:
        """Results that Redis has not confirmed."""
        return len(self._results) + len(self._telling)

    def held(self, id: str) -> Taken | None:
        """A job that a handler has, or may have."""
        unclear = self._unclear.get(id)
        return unclear[0] if unclear is not None else self._running.get(id)

    # What happened

    def woken(self) -> None:
        """There may be new jobs."""
        self._more = True

    def ended(self, id: str, error: bytes) -> None:
        """The handler of a running job has answered, b"" without an error."""
        taken = self._running.pop(id, None)
        if taken is None and id in self._unclear:
            taken = self._unclear.pop(id)[0]
        if taken is not None:
            self._results[id] = self._result(taken, error)

    def _result(self, taken: Taken, error: bytes) -> Result:
        if not error:
            return Result(taken)
        after = Taken(taken.job, taken.failures + 1, taken.redriven)
        return Result(after, self._effects.retry_delay(after.failures), error)

    # Turns

    def turn(self, now: float) -> Turn | None:
        """What to ask Redis for, None: nothing yet. Ends with `turned` or `lost`."""
        if self._due is not None and now >= self._due:
            self._more = True
        want = min(MAX_TAKEN, self.limit - self.running) if self._more else 0
        renew: Collection[str] = ()
        if now - self._renewed >= RENEWAL:
            renew, self._renewed = tuple(self._running), now
        if not self._results and want <= 0 and not renew:
            return None
        for id in list(self._results)[:MAX_RESULTS]:
            self._telling[id] = self._results.pop(id)
        if want > 0:
            self._more = False
        return Turn(tuple(self._telling.values()), max(0, want), renew)

    def wakes(self) -> float | None:
        """When `turn` has to be asked again if nothing happens, None: at no time."""
        times = [self._renewed + RENEWAL] if self._running else []
        if self._due is not None and self.limit > self.running:
            times.append(self._due)
        return min(times, default=None)

    def turned(self, taken: Iterable[Taken], waiting: int, due: float | None) -> None:
        """Redis did it: these jobs are ours, `waiting` others could be taken, and later ones when it is `due`."""
        self._telling.clear()
        for one in taken:
            self._start(one)
        self._due = due
        if waiting:
            self._more = True

    def lost(self) -> None:
        """Nobody knows whether the turn was done. `found` comes before the next."""
        self._results = {**self._telling, **self._results}
        self._telling.clear()
        self._more = True
        self._renewed = 0.0

    def found(self, active: Iterable[Taken]) -> None:
        """Redis says these are in flight after a lost turn: those that are news were taken by it."""
        for taken in active:
            id = taken.job.id
            if id not in self._running and id not in self._unclear and id not in self._results:
                self._start(taken)

    def _start(self, taken: Taken) -> None:
        self._running[taken.job.id] = taken.delivered()
        self._effects.deliver(taken)

    # Taking over

    def inherited(self, active: Iterable[tuple[Taken, float]]) -> None:
        """What is in flight when the ownership begins, with the ends of the leases."""
        self._unclear = {taken.job.id: (taken, lease) for taken, lease in active}

    def adopted(self, serving: Collection[str], ended: Mapping[str, bytes], complete: bool, now: float) -> None:
        """What the gateways said of unclear jobs, by id; `complete`: what nobody knows was not delivered.

        Those being served run on; their ends are told as of any other.
        """
        for id in serving:
            if id in self._unclear:
                self._running[id] = self._unclear.pop(id)[0].delivered()
        for id, error in ended.items():
            if id in self._unclear:
                self._results[id] = self._result(self._unclear.pop(id)[0], error)
        for id, (taken, lease) in list(self._unclear.items()):
            if complete or now >= lease:
                del self._unclear[id]
                self._start(taken)
