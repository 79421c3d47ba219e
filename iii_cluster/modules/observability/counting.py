"""What the engine counted in the last seconds, out of counters that every process keeps since it began. Pure.

Whoever evaluates alerts looks at all processes, and adds what happened since the last look, by whomever, to totals that
only grow. Totals of earlier looks are kept, the older the sparser: the difference is what happened in a window.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct, field

from iii_cluster.telemetry.metrics.snapshot import Snapshot

COUNTERS = (
    "iii.invocations.total",
    "iii.invocations.success",
    "iii.invocations.error",
    "iii.invocations.deferred",
    "iii.workers.spawns",
    "iii.workers.deaths",
)

YOUNG = (
    30_000  # ms: who is no older than that at the first look counts from its beginning, unless that is the first of all
)
FORGOTTEN = 3600_000  # ms after which a process that does not answer is no more
GAP = 5_000  # ms at least between totals that are kept
SPARSENESS = 32  # totals of some age are as far apart as this part of it
SLACK = 30_000  # ms by which totals may be older than the beginning of a short window; for long ones an eighth of them


class Process(Struct, array_like=True):
    seen: int  # ms
    counts: list[int]  # as COUNTERS


class Totals(Struct, array_like=True):
    time: int  # ms
    counts: list[int]


class Counted(Struct):
    """As of the last look. `earlier`: totals of other looks, the oldest first."""

    now: Totals
    earlier: list[Totals]
    processes: dict[str, Process] = field(default_factory=dict)


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Counted).decode


def counts_of(snapshot: Snapshot) -> list[int]:
    """What one process counted since it began. What waits in a queue is deferred, and counted again when it has run."""
    own = snapshot.functions.values()
    count, errors, deferred = sum(o.count for o in own), sum(o.errors for o in own), sum(o.deferred for o in own)
    return [count + deferred, count - errors, errors, deferred, snapshot.worker_spawns, snapshot.worker_deaths]


def looked(known: Counted | None, snapshots: Iterable[Snapshot], now: int, longest: int) -> Counted:
    """After one more look. `known`: what the last one left; `now` and `longest`, the longest window, in ms."""
    if known and known.now.time - SLACK < now:
        now = max(now, known.now.time)  # clocks of two Redis servers differ a little
    total = list(known.now.counts) if known else [0] * len(COUNTERS)
    processes = dict(known.processes) if known else {}
    for snapshot in snapshots:
        name = f"{snapshot.host}:{snapshot.pid}:{snapshot.started_ms}"  # stays when its node joins anew
        counts = counts_of(snapshot)
        before = processes.get(name)
        if before is not None:
            # Somebody who looked at the same time may know more.
            counts = [max(pair) for pair in zip(before.counts, counts, strict=True)]
            _add(total, counts, before.counts)
        elif known is not None and snapshot.time_ms - snapshot.started_ms <= now - known.now.time + YOUNG:
            _add(total, counts, [0] * len(counts))
        processes[name] = Process(now, counts)
    alive = {name: process for name, process in processes.items() if process.seen > now - FORGOTTEN}
    kept = [*known.earlier, known.now] if known else []
    return Counted(Totals(now, total), _thinned(kept, now, longest), alive)


def within(counted: Counted, window: int) -> Mapping[str, int]:
    """What happened in the last `window` ms before the last look, and perhaps since the look before that."""
    begin = _begin(counted, window)
    return {name: new - old for name, new, old in zip(COUNTERS, counted.now.counts, begin.counts, strict=True)}


def _begin(counted: Counted, window: int) -> Totals:
    start = counted.now.time - window
    before = [one for one in counted.earlier if one.time <= start]
    if before and start - before[-1].time <= _slack(window):
        return before[-1]
    # Nobody looked for a while, or there was no look before: what happened then is not of this window.
    return next((one for one in counted.earlier if one.time > start), counted.now)


def _slack(window: int) -> int:
    return max(SLACK, window // 8)


def _thinned(kept: Sequence[Totals], now: int, longest: int) -> list[Totals]:
    oldest = now - longest - _slack(longest)
    chosen: list[Totals] = []
    for one in kept:  # from the oldest on: from the newest, frequent looks would always be dropped for one another
        if not oldest <= one.time <= now:
            continue
        if not chosen or one.time - chosen[-1].time >= max(GAP, (now - one.time) // SPARSENESS):
            chosen.append(one)
    return chosen


def _add(total: list[int], counts: Sequence[int], before: Sequence[int]) -> None:
    for place, (new, old) in enumerate(zip(counts, before, strict=True)):
        total[place] += new - old
