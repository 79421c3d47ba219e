"""One function as a node sees it: the connections that serve it, and which of them gets the next call. Pure.

Calls go to a connection whose node listens, then to one that keeps up, then to the one with the fewest outstanding
calls as seen from here, ties to the own node, then round robin.
"""

from collections.abc import Callable
from typing import Protocol

from .keys import function_key

# How many owners one choice looks at: the work per call must not grow with the number of replicas.
CHOICE_WINDOW = 4


class Feeder(Protocol):
    """Who sends calls to a target, and can be paused."""

    @property
    def outlet(self) -> "Resumable": ...


class Resumable(Protocol):
    def resume(self) -> None: ...


class Target:
    """A worker connection that serves functions, and the calls outstanding on it as seen from here."""

    __slots__ = ("avoided", "congested", "conn", "feeders", "node", "outstanding", "trusted", "uses", "worker")

    def __init__(self, node: str, conn: int, worker: str) -> None:
        self.node = node
        self.conn = conn
        self.worker = worker
        self.outstanding = 0
        self.congested = False
        self.avoided = False  # nobody listens at its node now
        self.trusted = True  # serves what its connection registered before a shard agrees
        self.uses = 0  # routes that list it
        self.feeders: set[Feeder] = set()  # who is paused until it is uncongested

    def __repr__(self) -> str:
        return f"Target({self.node}/{self.conn}, outstanding={self.outstanding})"


class Route:
    """One function as seen from this node."""

    __slots__ = (
        "asked",
        "asked_at",
        "disowned",
        "elsewhere",
        "function",
        "local",
        "metadata",
        "namespace",
        "outdated",
        "remote",
        "turn",
        "unanswered",
        "undecided",
        "waiting",
    )

    def __init__(self, namespace: str, function: str) -> None:
        self.namespace = namespace
        self.function = function
        self.local: list[Target] = []
        self.remote: list[Target] = []
        self.turn = 0
        self.asked = ""  # shard that was asked to watch; "" while nobody was
        self.asked_at = 0.0
        self.disowned = False  # owners that the shard named do not serve it: it may know better by now
        self.elsewhere: list[str] = []
        self.outdated = False  # the shard's last answer named only connections that are gone
        self.unanswered = False  # given up: no shard answered in time
        self.waiting: list[Callable[[Route], None]] | None = None  # calls held until the answer
        self.metadata: bytes | None = None  # JSON that all owners agree on, empty for none; None: no shard has said
        self.undecided: list[Callable[[bytes], None]] = []  # what waits to know it

    @property
    def key(self) -> str:
        return function_key(self.namespace, self.function)

    def choose(self) -> Target | None:
        """The target of the next call, None without owners."""
        local = self.local
        remote = self.remote
        if not remote:
            if len(local) == 1:
                return local[0]
            if not local:
                return None
            self.turn += 1
            return least(local, self.turn)
        self.turn += 1
        best = least(remote, self.turn)
        if local:
            near = least(local, self.turn)
            if near.congested == best.congested and not best.avoided:
                return near if near.outstanding <= best.outstanding else best
            return best if near.congested and not best.avoided else near
        return best


def least(targets: list[Target], turn: int) -> Target:
    """Least loaded of a window that moves round robin; congested ones only when there is nothing else."""
    count = len(targets)
    if count == 1:
        return targets[0]
    start = turn % count
    best = targets[start]
    for step in range(1, min(count, CHOICE_WINDOW)):
        candidate = targets[(start + step) % count]
        if candidate.avoided:
            continue
        if (
            best.avoided
            or candidate.congested < best.congested
            or (candidate.congested == best.congested and candidate.outstanding < best.outstanding)
        ):
            best = candidate
    if best.avoided:  # as are all in the window: look at the others, too
        return next((target for target in targets if not target.avoided), best)
    return best
