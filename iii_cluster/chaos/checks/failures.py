"""A call fails only where a fault explains it, and never with "not found" while somebody serves the function."""

from collections.abc import Iterator

from iii_cluster.chaos.faults.kinds import Target
from iii_cluster.chaos.history import CHURN, ENGINE, MODULES, OK, OPEN, REPLICATED, TRIGGER, Call
from iii_cluster.chaos.limits import EDGE
from iii_cluster.protocol.errors import FUNCTION_NOT_FOUND

from .evidence import Evidence
from .reach import Reach
from .violation import Violation

FOUND = "a function with a live owner is found"
CACHED = "coordinators and shards are not missed on cached routes"
SAME_GATEWAY = "calls within one gateway do without Redis"
REPLICAS = "a replicated function fails no longer than a lease and a second"
MODULE = "a function of a module needs nothing but its gateway and Redis"
EXPLAINED = "no call fails without a cause"

CONTROL = (Target.SHARD, Target.COORDINATOR, Target.LEADER)


def check(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    for call in evidence.history.calls:
        if call.outcome in ("", OK) or call.kind == ENGINE or expected(evidence, reach, call):
            continue
        owner = _live_owner(evidence, reach, call) if call.outcome == FUNCTION_NOT_FOUND else ""
        if owner:
            yield Violation(check=FOUND, at=call.ended, text=f"{_told(evidence, call)}, yet {owner} served it")
        elif not reach.explains(call):
            yield Violation(check=_rule(evidence, reach, call), at=call.ended, text=_told(evidence, call))


def expected(evidence: Evidence, reach: Reach, call: Call) -> bool:
    """The call failed as it has to, without any fault: nobody served the function any more, or yet."""
    if call.outcome in ("", OK) or call.kind == ENGINE:
        return False
    if call.outcome == FUNCTION_NOT_FOUND and _live_owner(evidence, reach, call):
        return False
    return may_be_expected(call) or _owner_left(evidence, call)


def may_be_expected(call: Call) -> bool:
    """What comes and goes is called before and after its time, too."""
    return call.outcome == FUNCTION_NOT_FOUND and call.kind in (CHURN, TRIGGER)


def _live_owner(evidence: Evidence, reach: Reach, call: Call) -> str:
    """Who surely served the function from the call's beginning to its end, at a gateway nothing had happened to."""
    for owner in evidence.owners_throughout(call.function, call.began, call.ended + EDGE):
        if not reach.disturbed(owner, call.began, call.ended):
            return f"{owner.client} at {owner.gateway}"
    return ""


def _owner_left(evidence: Evidence, call: Call) -> bool:
    """An owner took the function back, or went away of its own accord, while it was called."""
    ended = (one for one in evidence.registrations.get(call.function, ()) if one.until != OPEN)
    return any(call.began - EDGE <= evidence.over(one) and one.until <= call.ended + EDGE for one in ended)


def _rule(evidence: Evidence, reach: Reach, call: Call) -> str:
    """The most telling of the rules that are broken."""
    if call.kind in MODULES:
        return MODULE
    targets = {window.kind.target for window in reach.near(call.ended)}
    owners = list(evidence.owners(call.function, call.began, call.ended))
    if Target.REDIS in targets and owners and all(owner.gateway == evidence.gateway(call) for owner in owners):
        return SAME_GATEWAY
    if targets and targets <= set(CONTROL) and evidence.cached(call):
        return CACHED
    if call.kind == REPLICATED and targets & {Target.GATEWAY, Target.NETWORK}:
        return REPLICAS
    return EXPLAINED


def _told(evidence: Evidence, call: Call) -> str:
    after = f"{call.ended - call.began:.2f} s"
    return f"{evidence.name(call)} failed after {after} with {call.outcome} ({call.message})"
