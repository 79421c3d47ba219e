"""What happened to the cluster, for the margin of its charts. Pure."""

from collections import deque

from msgspec import Struct

from iii_cluster.cluster.map import ClusterMap

MARKS = 200


class Mark(Struct, frozen=True):
    time_ms: int
    kind: str  # joined, lost, left, leader, slots or redis
    node: str
    text: str


class Marks:
    """The latest of them, oldest first. Follows maps across incarnations of its own node."""

    def __init__(self) -> None:
        self.marks: deque[Mark] = deque(maxlen=MARKS)
        self._map = ClusterMap()
        self._redis: bool | None = None

    def see_map(self, new: ClusterMap, time_ms: int) -> None:
        """The first one is where it all begins: nothing has happened yet."""
        old = self._map
        if new.version <= old.version:
            return
        self._map = new
        if old.version == (0, 0):
            return
        for node in sorted(new.nodes.keys() - old.nodes.keys()):
            self._mark(time_ms, "joined", node, f"{node} joined")
        for node in sorted(old.nodes.keys() - new.nodes.keys()):
            kind, verb = ("left", "left") if old.nodes[node].draining else ("lost", "was lost")
            self._mark(time_ms, kind, node, f"{node} {verb}")
        if new.leader != old.leader:
            self._mark(time_ms, "leader", new.leader, f"{new.leader or 'nobody'} leads")
        moved = [other.node for one, other in zip(old.slots, new.slots, strict=True) if one.node != other.node]
        if moved:
            owners = ", ".join(sorted({node or "nobody" for node in moved}))
            self._mark(time_ms, "slots", "", f"{len(moved)} slots moved to {owners}")

    def see_redis(self, up: bool, time_ms: int) -> None:
        before, self._redis = self._redis, up
        if before is not None and before != up:
            self._mark(time_ms, "redis", "", "Redis is back" if up else "Redis cannot be reached")

    def _mark(self, time_ms: int, kind: str, node: str, text: str) -> None:
        self.marks.append(Mark(time_ms, kind, node, text))
