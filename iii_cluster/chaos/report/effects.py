"""What became of the load of modules, in numbers: a row for each queue, topic, cron job and so on."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from iii_cluster.chaos.checks import cron, requests, transfers
from iii_cluster.chaos.checks.evidence import Evidence
from iii_cluster.chaos.checks.jobs import first_success
from iii_cluster.chaos.effects import Attempt, Queue
from iii_cluster.chaos.history import FOREVER, REPLICATED, SINGLE, History

from .statistics import percentile

LATE = 1.0  # s
BUCKET = 1.0  # s


class EffectRow(Struct, kw_only=True):
    """What was `asked` for and `acknowledged`, and what became of it: `effects` that came, those that came again
    (`repeated`), those that were due and did not come (`missing`), `dead` letters; None where that says nothing.

    Delays are seconds from the asking, or from when a tick was due, to the effect; `late` took more than LATE.
    """

    what: str
    asked: int | None = None
    acknowledged: int | None = None
    effects: int
    repeated: int | None = None
    missing: int | None = None
    dead: int | None = None
    late: int
    p50: float | None
    p99: float | None
    max: float | None


def effect_rows(history: History) -> list[EffectRow]:
    evidence = Evidence(history)
    rows: Iterable[EffectRow] = itertools.chain(
        _jobs(evidence),
        _ticks(evidence),
        _numbers(evidence),
        _streams(evidence),
        _messages(evidence),
        _requests(history),
        _transfers(history),
    )
    return [row for row in rows if row.asked or row.effects]


def _row(what: str, effects: int, delays: Sequence[float], **fields: int | None) -> EffectRow:
    return EffectRow(
        what=what,
        effects=effects,
        late=sum(delay > LATE for delay in delays),
        p50=percentile(delays, 0.5),
        p99=percentile(delays, 0.99),
        max=max(delays, default=None),
        **fields,
    )


def _jobs(evidence: Evidence) -> Iterator[EffectRow]:
    attempts: Mapping[tuple[int, str], list[Attempt]] = defaultdict(list)
    for attempt in evidence.history.attempts:
        attempts[attempt.job, attempt.function].append(attempt)
    for queue in evidence.history.queues:
        for function in queue.functions:
            short = function.rpartition("::")[2]
            what = f"queue {queue.name}" if len(queue.functions) == 1 else f"topic, {short}"
            yield _queue(evidence, what, queue, {n: tries for (n, name), tries in attempts.items() if name == function})


def _queue(evidence: Evidence, what: str, queue: Queue, attempts: Mapping[int, Sequence[Attempt]]) -> EffectRow:
    """Delays are those of jobs that were not to fail."""
    jobs = [job for job in evidence.history.jobs if job.queue == queue.name]
    dead = Counter(letter.job for letter in evidence.history.dead_letters)
    done = {job.n: first_success(attempts.get(job.n, ())) for job in jobs}
    acknowledged = [job for job in jobs if evidence.acknowledged(job.call)]
    return _row(
        what,
        sum(at != FOREVER for at in done.values()),
        [done[job.n] - job.at - job.wait for job in jobs if done[job.n] != FOREVER and not job.fails],
        asked=len(jobs),
        acknowledged=len(acknowledged),
        repeated=sum(max(0, sum(one.ok for one in attempts.get(job.n, ())) - 1) for job in jobs),
        missing=sum(done[job.n] == FOREVER and not dead[job.n] for job in acknowledged),
        dead=sum(done[job.n] == FOREVER and dead[job.n] > 0 for job in jobs),
    )


def _ticks(evidence: Evidence) -> Iterator[EffectRow]:
    for job in evidence.history.cron_jobs:
        ticks = [tick for tick in evidence.history.ticks if tick.function == job.function]
        first: dict[int, float] = {}
        for tick in ticks:
            first.setdefault(round(tick.scheduled - job.at), tick.at - tick.scheduled)
        missing = len(cron.missing(evidence, job)) if evidence.ended else None
        number = job.function.rpartition("::")[2]
        yield _row(
            f"cron job {number}", len(first), list(first.values()), repeated=len(ticks) - len(first), missing=missing
        )


def _numbers(evidence: Evidence) -> Iterator[EffectRow]:
    history = evidence.history
    increments = [count for count in history.counts if not count.read]
    acknowledged = {(one.key, one.value): evidence.calls[one.call].began for one in increments if one.value is not None}
    took = [evidence.calls[one.call].ended - one.at for one in increments if one.value is not None]
    yield _row("state, increments", len(took), took, asked=len(increments), acknowledged=len(took))
    # Of each trigger; numbers begin anew when Redis lost its memory.
    told = {
        (evidence.connections[one.connection].client, one.key, one.value, evidence.losses_before(one.at))
        for one in history.noticed
    }
    delays = [
        one.at - acknowledged[one.key, one.value]
        for one in history.noticed
        if (one.key, one.value) in acknowledged and not evidence.losses
    ]
    yield _row("state, triggers", len(told), delays, repeated=len(history.noticed) - len(told))


def _streams(evidence: Evidence) -> Iterator[EffectRow]:
    history = evidence.history
    shown = [one for one in history.shown if one.event != "sync"]
    began = {(change.item, change.v): change.at for change in history.changes if not change.deleted}
    delays = [
        one.at - began[one.item, one.v]
        for one in shown
        if one.event != "delete" and one.v is not None and (one.item, one.v) in began
    ]
    acknowledged = sum(evidence.acknowledged(change.call) for change in history.changes)
    yield _row("stream, shown", len(shown), delays, asked=len(history.changes), acknowledged=acknowledged)


def _messages(evidence: Evidence) -> Iterator[EffectRow]:
    history = evidence.history
    began = {one.n: one.at for one in history.publications}
    subscribers = {evidence.connections[one.connection].client for one in history.heard}
    acknowledged = sum(evidence.acknowledged(one.call) for one in history.publications)
    delays = [one.at - began[one.n] for one in history.heard if one.n in began]
    yield _row(
        "pub/sub, heard",
        len(history.heard),
        delays,
        asked=len(history.publications),
        acknowledged=acknowledged,
        missing=max(0, acknowledged * len(subscribers) - len(history.heard)),
    )


def _requests(history: History) -> Iterator[EffectRow]:
    """Delays are those of responses, without what the handler was asked to take."""
    for kind in (REPLICATED, SINGLE):
        asked = [one for one in history.requests if one.kind == kind]
        answered = [one for one in asked if one.status == requests.OK]
        yield _row(
            f"HTTP, {kind}", len(answered), [one.ended - one.at - one.wait for one in answered], asked=len(asked)
        )


def _transfers(history: History) -> Iterator[EffectRow]:
    done = sum(transfers.complete(one) for one in history.transfers)
    yield _row("channels, whole", done, (), asked=len(history.transfers))
    sent, received = (sum(getattr(one, what) for one in history.transfers) for what in ("sent", "received"))
    yield _row("channels, messages", received, (), asked=sent)


def effects_per_second(history: History) -> dict[str, list[int]]:
    """For every kind of load that had an effect: how many in each stretch of BUCKET seconds."""
    moments = {
        "jobs": [one.ended for one in history.attempts if one.ok],
        "ticks": [one.at for one in history.ticks],
        "state triggers": [one.at for one in history.noticed],
        "stream messages": [one.at for one in history.shown],
        "pub/sub messages": [one.at for one in history.heard],
        "HTTP responses": [one.ended for one in history.requests if one.status == requests.OK],
        "transfers": [one.ended for one in history.transfers if transfers.complete(one)],
    }
    size = math.ceil(max(history.ended, 0.0) / BUCKET) + 1
    rows = {}
    for name, times in moments.items():
        counts = Counter(int(at / BUCKET) for at in times)
        if counts:
            rows[name] = [counts[index] for index in range(size)]
    return rows
