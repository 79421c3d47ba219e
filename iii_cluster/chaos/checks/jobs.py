"""An acknowledged job is done, or a dead letter that has failed; a group's in their order; never too many at once."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from iii_cluster.chaos.effects import Attempt, DeadLetter, Job, Queue
from iii_cluster.chaos.faults.kinds import Target
from iii_cluster.chaos.history import FOREVER, OPEN, end
from iii_cluster.chaos.limits import EDGE

from .evidence import Evidence
from .reach import Reach
from .violation import Violation

LOST = "no acknowledged job is lost"
REAL = "a dead letter has failed as often as it may"
ORDER = "jobs of a group are done in their order"
LIMIT = "no more jobs at once than a queue allows"

# Their faults may keep a job from its handler, so that attempts fail which no handler has seen.
BETWEEN = (Target.GATEWAY, Target.NETWORK, Target.WORKERS, Target.REDIS)

Done = dict[tuple[int, str], list[Attempt]]  # by job and function


def check(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    by_queue: dict[str, list[Job]] = defaultdict(list)
    for job in evidence.history.jobs:
        by_queue[job.queue].append(job)
    done: Done = defaultdict(list)
    for attempt in evidence.history.attempts:
        done[attempt.job, attempt.function].append(attempt)
    letters: dict[int, list[DeadLetter]] = defaultdict(list)
    for letter in evidence.history.dead_letters:
        letters[letter.job].append(letter)
    for queue in evidence.history.queues:
        jobs = by_queue[queue.name]
        yield from _at_once(evidence, reach, queue, jobs, done)
        if queue.fifo:
            yield from _orders(evidence, queue, jobs, done, letters)
        if evidence.ended:
            for job in jobs:
                yield from _lost(evidence, queue, job, done, letters[job.n])
                yield from _real(evidence, reach, queue, job, done, letters[job.n])


def first_success(attempts: Iterable[Attempt]) -> float:
    return min((attempt.ended for attempt in attempts if attempt.ok), default=FOREVER)


def _lost(evidence: Evidence, queue: Queue, job: Job, done: Done, letters: Sequence[DeadLetter]) -> Iterator[Violation]:
    call = evidence.calls[job.call]
    if not evidence.acknowledged(job.call) or evidence.forgot(call.began, evidence.history.ended):
        return
    without = [name for name in queue.functions if first_success(done[job.n, name]) == FOREVER]
    if len(without) > len(letters):
        tried = sum(len(done[job.n, name]) for name in without)
        text = f"{_name(job)}, acknowledged at {call.ended:.2f} s, was never done by {', '.join(without)}"
        yield Violation(check=LOST, at=call.ended, text=f"{text}; attempts: {tried}, dead letters: {len(letters)}")


def _real(
    evidence: Evidence, reach: Reach, queue: Queue, job: Job, done: Done, letters: Sequence[DeadLetter]
) -> Iterator[Violation]:
    """A dead letter is explained by what its handlers saw, or by a fault that may have kept it from them."""
    for letter in letters:
        if not letter.error:
            yield Violation(check=REAL, at=letter.at, text=f"{_name(job)} is a dead letter without an error")
        if job.doomed or any(
            _failed(evidence, done[job.n, name]) >= max(queue.attempts, 1) for name in queue.functions
        ):
            continue
        if not any(
            window.kind.target in BETWEEN and window.began <= letter.at + 1.0 and window.until >= job.at
            for window in reach.windows
        ):
            seen = max(_failed(evidence, done[job.n, name]) for name in queue.functions)
            text = f"{_name(job)} is a dead letter after {letter.attempts} attempts, {seen} of which failed"
            yield Violation(check=REAL, at=letter.at, text=f"{text}; its error: {letter.error}")


def _failed(evidence: Evidence, attempts: Iterable[Attempt]) -> int:
    """Those that failed, or whose worker was lost before it could answer, as far as it knows."""
    return sum(
        not attempt.ok or end(evidence.connections[attempt.connection].closed) <= attempt.ended + EDGE
        for attempt in attempts
    )


def _orders(
    evidence: Evidence, queue: Queue, jobs: Iterable[Job], done: Done, letters: dict[int, list[DeadLetter]]
) -> Iterator[Violation]:
    groups: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if evidence.acknowledged(job.call):  # another one may come into the queue late, or never
            groups[job.group].append(job)
    for members in groups.values():
        for function in queue.functions:
            yield from _order(evidence, function, members, done, letters)


def _order(
    evidence: Evidence, function: str, jobs: Iterable[Job], done: Done, letters: dict[int, list[DeadLetter]]
) -> Iterator[Violation]:
    """No attempt at a job before every earlier one was done for the first time. It may be done again afterwards."""
    latest: tuple[float, Job] | None = None  # the first success that came last, among earlier jobs
    for job in jobs:
        attempts = done[job.n, function]
        began = min((attempt.began for attempt in attempts), default=FOREVER)
        if latest is not None and began < latest[0]:
            before = latest[1]
            text = f"{_name(job)} was begun at {began:.3f} s, before {_name(before)} was done at {latest[0]:.3f} s"
            yield Violation(check=ORDER, at=began, text=text)
        success = first_success(attempts)
        if success == FOREVER or letters[job.n] or evidence.forgot(evidence.calls[job.call].began, success):
            continue
        if latest is None or success > latest[0]:
            latest = (success, job)


def _at_once(evidence: Evidence, reach: Reach, queue: Queue, jobs: Iterable[Job], done: Done) -> Iterator[Violation]:
    for function in queue.functions:
        groups: dict[str, list[Attempt]] = defaultdict(list)
        for job in jobs:
            groups[job.group] += done[job.n, function]
        if queue.concurrency:
            everything = [attempt for attempts in groups.values() for attempt in attempts]
            yield from _too_many(evidence, reach, f"{queue.name} of {function}", everything, queue.concurrency)
        if queue.fifo:
            for group, attempts in groups.items():
                yield from _too_many(evidence, reach, f"group {group} of {queue.name}", attempts, 1)


def _too_many(
    evidence: Evidence, reach: Reach, where: str, attempts: Iterable[Attempt], limit: int
) -> Iterator[Violation]:
    moments: list[tuple[float, int, Attempt]] = []
    for attempt in attempts:
        stop = _counted_until(evidence, reach, attempt)
        if stop > attempt.began:
            moments += [(attempt.began, 1, attempt), (stop, -1, attempt)]
    running: dict[int, Attempt] = {}
    worst: tuple[float, list[Attempt]] = (0.0, [])
    for at, step, attempt in sorted(moments, key=lambda moment: moment[:2]):
        if step < 0:
            del running[id(attempt)]
            continue
        running[id(attempt)] = attempt
        if len(running) > max(limit, len(worst[1])):
            worst = (at, list(running.values()))
    at, together = worst
    if together:
        who = ", ".join(f"{one.job} ({evidence.connections[one.connection].client})" for one in together)
        yield Violation(check=LIMIT, at=at, text=f"{len(together)} jobs of {where} at once, {limit} allowed: {who}")


def _counted_until(evidence: Evidence, reach: Reach, attempt: Attempt) -> float:
    """A handler counts until it is done, or the cluster may have taken its worker for lost, or Redis forgot it."""
    connection = evidence.connections[attempt.connection]
    lost = connection.closed - EDGE if connection.closed != OPEN else FOREVER
    forgotten = min((began for began, over in evidence.losses if over >= attempt.began), default=FOREVER)
    return min(end(attempt.ended), lost, forgotten, reach.given_up(connection, attempt.began))


def _name(job: Job) -> str:
    return f"job {job.n} of {job.queue}" + (f", group {job.group}" if job.group else "")
