"""The leader's view of the cluster: lease scans in, map changes out."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from iii_cluster.cluster.assign import assign
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role, SlotOwner
from iii_cluster.cluster.scripts import LeaseScan


class Reachability:
    """For how long Redis has answered without a break. Another server breaks it: its leases may be stale."""

    def __init__(self, ttl: float, interval: float) -> None:
        self._patience = ttl + interval
        # Short enough that a lease renewed just before a break outlives it together with the next renewal.
        self._gap = max(interval, (ttl - interval) * 2 / 3)
        self._server: str | None = None
        self._since = 0.0
        self._last = 0.0

    def contact(self, now: float, server: str | None) -> None:
        """Redis answered (which server), or did not (None)."""
        if server is None or server != self._server or now - self._last > self._gap:
            self._since = now
        self._server = server
        self._last = now

    def steady(self, now: float) -> bool:
        """Redis answered long enough for every living node to have renewed its lease."""
        return self._server is not None and now - self._since >= self._patience and now - self._last <= self._gap


@dataclass(frozen=True)
class Plan:
    """`map` replaces the current one unless it is None; afterwards the leases in `remove` end."""

    map: ClusterMap | None
    remove: tuple[str, ...]


class MapKeeper:
    """Plans the next map of the leader `node`. `current` is the stored map, as far as known."""

    def __init__(self, node: str, ttl: float, interval: float) -> None:
        self.current = ClusterMap()
        self.term = 0
        self.reachability = Reachability(ttl, interval)
        self._node = node
        self._patience = ttl + interval
        self._first = 0  # epoch that no map of this term is below
        self._missing_since: dict[str, float] = {}

    def lead(self, term: int, stored: ClusterMap, clock: int = 0) -> None:
        """Start from `stored` in `term`; also after a refused write. `clock` is Redis', in ms.

        Fencing tokens are epochs, and some are stored where more is remembered than in the cluster's own Redis. So a
        new leader's begin at the time of day, beyond whatever an earlier map had that nobody knows any more.
        """
        self.term = term
        self._first = clock
        self.current = stored
        self._missing_since.clear()

    def plan(self, scan: LeaseScan, now: float) -> Plan:
        """What follows from a scan: joins, drains, deaths, and this node as leader of its term."""
        current = self.current
        dead = self._dead(scan, now)
        joining = {
            node: lease.info
            for node, lease in sorted(scan.leases.items())
            if lease.ms_left > 0 and lease.info is not None and node not in current.nodes
        }
        leaving = _leaving(current, scan)
        strays = {node for node, lease in scan.leases.items() if lease.ms_left <= 0 and node not in current.nodes}
        if not self.reachability.steady(now):
            strays = set()
        changed = dead or joining or leaving or (current.leader, current.term) != (self._node, self.term)
        new = self._successor(dead, joining | leaving) if changed else None
        return Plan(new, tuple(sorted(dead | strays)))

    def written(self, new: ClusterMap) -> None:
        """The planned map is stored."""
        self.current = new
        self._missing_since = {node: at for node, at in self._missing_since.items() if node in new.nodes}

    def _dead(self, scan: LeaseScan, now: float) -> set[str]:
        """Nodes that left, whose lease ran out, or whose lease has been missing for too long.

        A lease that is missing without having been removed means that Redis forgot it: its node gets the time
        to renew it. This node lives, whatever its lease says.
        """
        steady = self.reachability.steady(now)
        dead = set()
        for node in self.current.nodes:
            lease = scan.leases.get(node)
            if lease is not None:
                self._missing_since.pop(node, None)
                lost = steady and lease.ms_left <= 0
            else:
                since = self._missing_since.setdefault(node, now)
                lost = node in scan.gone or (steady and now - since >= self._patience)
            if lost and node != self._node:
                dead.add(node)
        return dead

    def _successor(self, dead: Collection[str], told: dict[str, NodeInfo]) -> ClusterMap:
        current = self.current
        nodes = {node: info for node, info in (current.nodes | told).items() if node not in dead}
        shards = _takers(nodes.values(), current.slots)
        epoch = max(current.epoch + 1, self._first)
        return msgspec.structs.replace(
            current,
            term=self.term,
            epoch=epoch,
            leader=self._node,
            nodes=nodes,
            slots=assign(current.slots, shards, epoch),
        )


def _leaving(current: ClusterMap, scan: LeaseScan) -> dict[str, NodeInfo]:
    """Members that began to drain. An id never stops draining, whatever a late renewal says."""
    return {
        node: info
        for node in current.nodes
        if (lease := scan.leases.get(node))
        and (info := lease.info)
        and info.draining
        and not current.nodes[node].draining
    }


def _takers(nodes: Iterable[NodeInfo], slots: Iterable[SlotOwner]) -> list[str]:
    """The shards that own slots from now on: those that stay, or else those that own some, or else any."""
    shards = {node.id: node for node in nodes if node.role is Role.SHARD}
    staying = [shard for shard, node in shards.items() if not node.draining]
    owning = {owner.node for owner in slots}
    return staying or [shard for shard in shards if shard in owning] or list(shards)
