"""Who belongs to the cluster, and who did. Pure."""

from collections.abc import Collection

from iii_cluster.bus.sender import MAX_WINDOW, MIN_WINDOW

INBOX_BYTES = 16 * 2**20  # in flight from all peers to one inbox: half of what Redis allows a subscriber
EXPELLED_KEPT = 10_000  # ids of former members that are remembered


class Members:
    """The other nodes as the last map named them. An id that left never comes back, unless a map names it again."""

    def __init__(self) -> None:
        self.window = MAX_WINDOW  # bytes a member may have on the way to another
        self._nodes: frozenset[str] = frozenset()
        self._expelled: dict[str, None] = {}  # oldest first

    def replace(self, nodes: Collection[str]) -> frozenset[str]:
        """Take the members of a new map; returns those that are none any more."""
        now = frozenset(nodes)
        gone = self._nodes - now
        self._nodes = now
        self._expelled |= dict.fromkeys(gone)
        for node in self._expelled.keys() & now:
            del self._expelled[node]
        while len(self._expelled) > EXPELLED_KEPT:
            del self._expelled[next(iter(self._expelled))]
        self.window = min(max(INBOX_BYTES // max(len(now), 1), MIN_WINDOW), MAX_WINDOW)
        return gone

    def expelled(self, node: str) -> bool:
        """Whether `node` was a member and is none any more."""
        return node in self._expelled

    def stranger(self, node: str) -> bool:
        """Whether there is a map, and it does not name `node`."""
        return bool(self._nodes) and node not in self._nodes
