"""How fast the cluster got over each fault."""

from collections import defaultdict
from collections.abc import Container, Iterable

from msgspec import Struct

from iii_cluster.chaos.checks.evidence import Evidence
from iii_cluster.chaos.checks.reach import Window, windows
from iii_cluster.chaos.faults.kinds import KINDS, Target
from iii_cluster.chaos.history import CHURN, ENGINE, FIRST, FOREVER, OK, REMOTE, STEADY, Call, History, Injected, end
from iii_cluster.chaos.limits import EDGE

from .statistics import percentile

Steady = dict[tuple[str, str], list[Call]]  # by kind and group: the functions of an owner are called in turns


class Recovery(Struct, kw_only=True):
    """Of one fault, in seconds from its beginning; None where there was nothing to see.

    `detect`: the first sign of it, a map without the victim, a failed call or a process that is not ready.
    `reroute`: every function that had an owner there was called with success again.
    `healed`: it was taken back, all processes are ready and every steady function answers.
    """

    index: int
    kind: str
    lasted: float
    detect: float | None
    reroute: float | None
    healed: float | None


Pair = tuple[float | None, float | None]  # median and worst


class RecoveryRow(Struct, kw_only=True):
    """All faults of a kind."""

    kind: str
    faults: int
    detect: Pair
    reroute: Pair
    healed: Pair


def recoveries(history: History, expected: Container[int] = ()) -> list[Recovery]:
    """`expected` are numbers of calls whose failure is no sign of a fault."""
    evidence = Evidence(history)
    steady = _steady(history.calls)
    return [
        Recovery(
            index=window.fault.index,
            kind=window.fault.kind,
            lasted=end(window.fault.over) - window.began,
            detect=_since(window, _detected(window, evidence, expected)),
            reroute=_since(window, _rerouted(window, evidence, steady)),
            healed=_since(window, _healed(window.fault, history, steady)),
        )
        for window in windows(evidence)
    ]


def rows(found: Iterable[Recovery]) -> list[RecoveryRow]:
    by_kind: dict[str, list[Recovery]] = defaultdict(list)
    for one in found:
        by_kind[one.kind].append(one)
    return [
        RecoveryRow(
            kind=kind,
            faults=len(by_kind[kind]),
            detect=_middle_and_worst(one.detect for one in by_kind[kind]),
            reroute=_middle_and_worst(one.reroute for one in by_kind[kind]),
            healed=_middle_and_worst(one.healed for one in by_kind[kind]),
        )
        for kind in KINDS
        if kind in by_kind
    ]


def _middle_and_worst(values: Iterable[float | None]) -> Pair:
    known = [value for value in values if value is not None]
    return percentile(known, 0.5), max(known, default=None)


def _since(window: Window, moment: float) -> float | None:
    return None if moment == FOREVER else max(0.0, moment - window.began)


def _detected(window: Window, evidence: Evidence, expected: Container[int]) -> float:
    history, fault = evidence.history, window.fault
    maps = (seen.at for seen in history.maps if seen.nodes and not set(fault.nodes) <= set(seen.nodes))
    ready = (state.at for state in history.ready if not state.ready)
    failed = (
        call.ended
        for call in history.calls
        if call.outcome not in ("", OK) and call.kind not in (CHURN, ENGINE) and call.n not in expected
    )
    later = (other.began for other in history.faults if other.began > fault.began and not other.skipped)
    until = min(window.until, *later, FOREVER)  # from then on a sign may be one of another fault
    return min((at for signs in (maps, ready, failed) for at in signs if fault.began <= at <= until), default=FOREVER)


def _rerouted(window: Window, evidence: Evidence, steady: Steady) -> float:
    began = window.began
    if window.kind.target in (Target.SHARD, Target.COORDINATOR, Target.LEADER):
        return _first_success((call for call in evidence.history.calls if call.kind == FIRST), began)
    return max((_first_success(steady[one], began) for one in _affected(window, evidence, steady)), default=FOREVER)


def _affected(window: Window, evidence: Evidence, steady: Steady) -> list[tuple[str, str]]:
    if window.kind.target is Target.REDIS:
        return [key for key in steady if key[0] == REMOTE]
    hit = {*window.fault.gateways, *window.fault.victims}

    def was_hit(function: str) -> bool:
        owners = evidence.owners(function, window.began - EDGE, window.began)
        return any(owner.gateway in hit or owner.client in hit for owner in owners)

    return [key for key, calls in steady.items() if was_hit(calls[0].function)]


def _healed(fault: Injected, history: History, steady: Steady) -> float:
    over = end(fault.over)
    if over == FOREVER or not steady:
        return FOREVER
    return max(_all_ready(history, over), *(_first_success(calls, over) for calls in steady.values()))


def _all_ready(history: History, since: float) -> float:
    """The first moment from `since` on at which every process was ready."""
    state: dict[str, bool] = {}
    changes = iter(history.ready)
    pending = next(changes, None)
    while pending is not None and pending.at <= since:
        state[pending.process] = pending.ready
        pending = next(changes, None)
    if state and all(state.values()):
        return since
    while pending is not None:
        state[pending.process] = pending.ready
        if all(state.values()):
            return pending.at
        pending = next(changes, None)
    return FOREVER


def _steady(calls: Iterable[Call]) -> Steady:
    found: Steady = defaultdict(list)
    for call in calls:
        if call.kind in STEADY:
            found[call.kind, call.function.rpartition("::")[0]].append(call)
    return found


def _first_success(calls: Iterable[Call], since: float) -> float:
    return min((call.ended for call in calls if call.outcome == OK and call.began >= since), default=FOREVER)
