"""What this shard owns, as its modules see it."""

import logging
from collections.abc import Callable, Collection

from iii_cluster.cluster.map import ClusterMap
from iii_cluster.cluster.slots import slot_of

log = logging.getLogger(__name__)


class OwnedSlots:
    """Implements `iii_cluster.modules.engine.Ownership`. The token of a slot is the epoch since which it is owned.

    `healthy` tells whether the lease of this node runs: without it everything may be somebody else's by now.
    """

    def __init__(self, me: str, healthy: Callable[[], bool]) -> None:
        self._me = me
        self._healthy = healthy
        self._since: dict[int, int] = {}
        self._subscribers: list[Callable[[], None]] = []

    def token(self, key: str) -> int:
        return self.slot_token(slot_of(key))

    def slot_token(self, slot: int) -> int:
        return self._since.get(slot, 0) if self._healthy() else 0

    def slots(self) -> Collection[int]:
        return list(self._since) if self._healthy() else []

    def subscribe(self, changed: Callable[[], None]) -> None:
        self._subscribers.append(changed)

    def on_map(self, new: ClusterMap) -> None:
        since = {slot: owner.since for slot, owner in enumerate(new.slots) if owner.node == self._me}
        if since != self._since:
            self._since = since
            self.tell()

    def tell(self) -> None:
        """Something changed: the slots, or whether the lease runs."""
        for changed in self._subscribers:
            try:
                changed()
            except Exception:
                log.exception("action=ownership_listener_failed")
