"""Which faults a run may draw: those that were asked for, as far as the machine and the cluster allow them."""

from collections.abc import Mapping

from iii_cluster.chaos.clusters import hosts

from .kinds import KINDS, Action, Target


class UnknownFault(Exception):
    """A word that names neither a fault nor a target."""


class NoFault(Exception):
    """Nothing is left that could be injected; has a line per reason."""


def chosen(words: str) -> list[str]:
    """Names of kinds, in the order of the catalogue, for a list such as "gateway,redis-kill". Raises UnknownFault."""
    wanted = set()
    for word in filter(None, (word.strip() for word in words.split(","))):
        names = {kind.name for kind in KINDS.values() if word in (kind.name, kind.target.value)}
        if not names:
            raise UnknownFault(f"there is no fault or target {word!r}; --list-faults prints what there is")
        wanted |= names
    return [name for name in KINDS if name in wanted]


def possible(words: str | None, *, attach: bool, redis_faults: bool) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of kinds, and of those left out why. `words` is None for all. Raises UnknownFault, NoFault."""
    wanted = list(KINDS) if words is None else chosen(words)
    named = words is not None
    reasons = {name: why for name in wanted if attach and (why := _attached(name, named, redis_faults))}
    networks = [name for name in wanted if KINDS[name].target is Target.NETWORK and name not in reasons]
    if networks and (why := hosts.unavailable()):
        reasons |= dict.fromkeys(networks, why)
    left = tuple(name for name in wanted if name not in reasons)
    if not left:
        why_not = left_out(reasons) or ["--faults names none; --list-faults prints what there is"]
        raise NoFault("\n".join(["there is no fault to inject", *why_not]))
    return left, reasons


def left_out(reasons: Mapping[str, str]) -> list[str]:
    """A line per reason."""
    by_reason: dict[str, list[str]] = {}
    for name, why in reasons.items():
        by_reason.setdefault(why, []).append(name)
    return [f"left out: {', '.join(names)}: {why}" for why, names in by_reason.items()]


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
