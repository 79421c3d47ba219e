"""A call fails only where a fault explains it, and never with "not found" while somebody serves the function."""

from collections.abc import Iterator

from iii_cluster.chaos.faults.kinds import Target
from iii_cluster.chaos.history import CHURN, ENGINE, OK, OPEN, REPLICATED, TRIGGER, Call
from iii_cluster.chaos.limits import EDGE
from iii_cluster.protocol.errors import FUNCTION_NOT_FOUND

from .evidence import Index
from .reach import Reach
from .violation import Violation

FOUND = "a function with a live owner is found"
CACHED = "coordinators and shards are not missed on cached routes"
SAME_GATEWAY = "calls within one gateway do without Redis"
REPLICAS = "a replicated function fails no longer than a lease and a second"
EXPLAINED = "no call fails without a cause"

CONTROL = (Target.SHARD, Target.COORDINATOR, Target.LEADER)


def check(index: Index, reach: Reach) -> Iterator[Violation]:
    for call in index.history.calls:
        if call.outcome in ("", OK) or call.kind == ENGINE:
            continue
        if call.outcome == FUNCTION_NOT_FOUND:
            owner = _live_owner(index, reach, call)
            if owner:
                yield Violation(check=FOUND, at=call.ended, text=f"{_told(index, call)}, yet {owner} served it")
                continue
            if call.kind in (CHURN, TRIGGER):
                continue  # nobody serves it any more, or not yet
        if reach.explains(call) is None and not _owner_left(index, call):
            yield Violation(check=_rule(index, reach, call), at=call.ended, text=_told(index, call))


def _live_owner(index: Index, reach: Reach, call: Call) -> str:
    """Who surely served the function from the call's beginning to its end, at a gateway nothing had happened to."""
    for owner in index.owners_throughout(call.function, call.began, call.ended + EDGE):
        if not reach.disturbed(owner, call.began, call.ended):
            return f"{owner.client} at {owner.gateway}"
    return ""


def _owner_left(index: Index, call: Call) -> bool:
    """An owner took the function back, or went away of its own accord, while it was called."""
    ends = [one.until for one in index.registrations.get(call.function, ()) if one.until != OPEN]
    return any(call.began - EDGE <= until <= call.ended + EDGE for until in ends)


def _rule(index: Index, reach: Reach, call: Call) -> str:
    """The most telling of the rules that are broken."""
    targets = {window.kind.target for window in reach.near(call.ended)}
    owners = list(index.owners(call.function, call.began, call.ended))
    if Target.REDIS in targets and owners and all(owner.gateway == index.gateway(call) for owner in owners):
        return SAME_GATEWAY
    if targets and targets <= set(CONTROL) and index.cached(call):
        return CACHED
    if call.kind == REPLICATED and targets & {Target.GATEWAY, Target.NETWORK}:
        return REPLICAS
    return EXPLAINED


def _told(index: Index, call: Call) -> str:
    return (
        f"call {call.n} ({call.kind}) of {index.client(call)} at {index.gateway(call)} to {call.function} failed after "
        f"{call.ended - call.began:.2f} s with {call.outcome} ({call.message})"
    )
