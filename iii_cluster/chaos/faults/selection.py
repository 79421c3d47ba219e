"""Which faults this machine allows, and why not the others."""

from iii_cluster.chaos.clusters import hosts

from .kinds import KINDS, Action, Target, chosen


def possible(words: str | None, *, attach: bool, redis_faults: bool) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of kinds, and of those left out why. `words` is None for all. Raises UnknownFault."""
    wanted = list(KINDS) if words is None else chosen(words)
    reasons: dict[str, str] = {}
    for name in wanted:
        reason = _attached(name, words is not None, redis_faults) if attach else ""
        if reason:
            reasons[name] = reason
    networks = [name for name in wanted if KINDS[name].target is Target.NETWORK and name not in reasons]
    reason = hosts.unavailable() if networks else ""
    if reason:
        reasons |= dict.fromkeys(networks, reason)
    return tuple(name for name in wanted if name not in reasons), reasons


def _attached(name: str, named: bool, redis_faults: bool) -> str:
    """Why a cluster that was there before can not have this fault."""
    kind = KINDS[name]
    if kind.target is Target.NETWORK:
        return "all of it is on one host"
    if kind.action is Action.TERM:
        return "`up` does not start a process again that was drained"
    if kind.target is Target.REDIS and not redis_faults:
        return "needs --redis-faults"
    if kind.action is Action.FLUSH and not named:
        return "it destroys data; name it in --faults"
    return ""
