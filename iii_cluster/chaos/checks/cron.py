"""Every tick of a cron job is delivered once, however many workers registered the job.

Not judged are ticks that could not come: while Redis was away, or half of the shards, or every coordinator; and ticks
that were on their way to a worker whose connection was reset, or whose gateway died, stood still or was cut off: nobody
knows whether such a tick was delivered, and it is not repeated.

A job never runs beside itself: ticks that are due while a handler of it is busy are left out.
"""

from collections import defaultdict
from collections.abc import Iterator

from iii_cluster.chaos.effects import CronJob, Tick
from iii_cluster.chaos.faults.kinds import Action, Target
from iii_cluster.chaos.history import OPEN, end
from iii_cluster.chaos.limits import AFTER_LEASE, BARRIER, EDGE
from iii_cluster.cluster.map import Role

from .evidence import Evidence
from .reach import Reach, Window
from .violation import Violation

ONCE = "a tick is delivered once"
DELIVERED = "every tick is delivered"

REACHABLE = (Action.FLUSH, Action.DEAF)  # faults of a Redis that answers all the time
ON_ITS_WAY = 1.0  # s a tick may have been under way when its gateway was hit


def check(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    by_function: dict[str, dict[int, list[Tick]]] = defaultdict(lambda: defaultdict(list))
    firsts = {job.function: job.at for job in evidence.history.cron_jobs}
    for tick in evidence.history.ticks:
        if tick.function in firsts:
            by_function[tick.function][round(tick.scheduled - firsts[tick.function])].append(tick)
    for function, ticks in by_function.items():
        for same in ticks.values():
            if len(same) > 1 and not evidence.forgot(same[0].scheduled, same[-1].at):
                who = ", ".join(f"{evidence.connections[one.connection].client} at {one.at:.2f} s" for one in same)
                text = f"the tick of {function} at {same[0].scheduled:.2f} s was delivered to {who}"
                yield Violation(check=ONCE, at=same[1].at, text=text)
    if evidence.ended:
        for job in evidence.history.cron_jobs:
            for scheduled in missing(evidence, job):
                if not excused(evidence, reach, job, scheduled):
                    text = f"the tick of {job.function} at {scheduled:.2f} s was never delivered"
                    yield Violation(check=DELIVERED, at=scheduled, text=text)


def missing(evidence: Evidence, job: CronJob) -> list[float]:
    """When ticks were due that nobody got, of a job that came to its end."""
    if job.until == OPEN:
        return []
    got = {round(tick.scheduled - job.at) for tick in evidence.history.ticks if tick.function == job.function}
    due = round(max(0.0, job.until - job.at)) + 1
    return [job.at + number for number in range(due) if number not in got]


def excused(evidence: Evidence, reach: Reach, job: CronJob, scheduled: float) -> bool:
    return (
        _could_not_come(evidence, reach, scheduled)
        or any(_was_on_its_way(evidence, window, job, scheduled) for window in reach.windows)
        or any(_busy(evidence, tick, scheduled) for tick in evidence.history.ticks if tick.function == job.function)
    )


def _busy(evidence: Evidence, tick: Tick, scheduled: float) -> bool:
    """The handler of an earlier tick was under way then."""
    done = min(end(tick.ended), end(evidence.connections[tick.connection].closed)) + EDGE
    return tick.scheduled < scheduled <= done + evidence.slack(tick.at, done)


def _could_not_come(evidence: Evidence, reach: Reach, scheduled: float) -> bool:
    """Redis, half of the shards, or all coordinators were away then, or were not over it."""
    away: set[str] = set()
    for window in reach.windows:
        back = max(end(window.fault.over), end(window.fault.healed)) + evidence.history.lease_ttl + BARRIER
        if window.began - ON_ITS_WAY <= scheduled <= back + evidence.slack(window.began, back):
            if window.kind.target is Target.REDIS and window.kind.action not in REACHABLE:
                return True
            away.update(window.fault.nodes)
    nodes = max((seen.nodes for seen in evidence.history.maps), key=len, default=[])
    shards = [node for node in nodes if node.startswith(f"{Role.SHARD}-")]
    coordinators = [node for node in nodes if node.startswith(f"{Role.COORDINATOR}-")]
    return _count(away, Role.SHARD) * 2 >= len(shards) > 0 or _count(away, Role.COORDINATOR) >= len(coordinators) > 0


def _count(nodes: set[str], role: Role) -> int:
    return sum(node.startswith(f"{role}-") for node in nodes)


def _was_on_its_way(evidence: Evidence, window: Window, job: CronJob, scheduled: float) -> bool:
    fault = window.fault
    if window.kind.target is Target.WORKERS:
        served = {evidence.connections[one.connection].client for one in evidence.registrations[job.function]}
        return bool(served & set(fault.victims)) and abs(scheduled - fault.began) <= ON_ITS_WAY
    if not fault.gateways or window.kind.action is Action.TERM:
        return False  # a gateway that drains lets its workers finish
    missed_from = fault.began if window.kind.action is Action.KILL else end(fault.over)
    until = missed_from + evidence.history.lease_ttl + AFTER_LEASE
    return fault.began - ON_ITS_WAY <= scheduled <= until + evidence.slack(fault.began, until)
