"""Which faults a run may draw: those that were asked for, as far as the machine and the cluster allow them."""

from iii_cluster.chaos.clusters import hosts

from .kinds import KINDS, Action, Target


class UnknownFault(Exception):
    """A word that names neither a fault nor a target."""


def chosen(words: str) -> list[str]:
    """Names of kinds, in the order of the catalogue, for a list such as "gateway,redis-kill". Raises UnknownFault."""
    wanted = set()
    for word in filter(None, (word.strip() for word in words.split(","))):
        names = {kind.name for kind in KINDS.values() if word in (kind.name, kind.target.value)}
        if not names:
            raise UnknownFault(
                f"there is no fault {word!r}; there are: {', '.join(KINDS)}, or a target: {', '.join(Target)}"
            )
        wanted |= names
    return [name for name in KINDS if name in wanted]


def possible(words: str | None, *, attach: bool, redis_faults: bool) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of kinds, and of those left out why. `words` is None for all. Raises UnknownFault."""
    wanted = list(KINDS) if words is None else chosen(words)
    named = words is not None
    reasons = {name: why for name in wanted if attach and (why := _attached(name, named, redis_faults))}
    networks = [name for name in wanted if KINDS[name].target is Target.NETWORK and name not in reasons]
    if networks and (why := hosts.unavailable()):
        reasons |= dict.fromkeys(networks, why)
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
