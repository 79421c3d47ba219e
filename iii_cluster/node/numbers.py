"""What a node and its role tell of themselves in a snapshot."""

from collections import Counter
from typing import Any

from iii_cluster.bus.service import Bus
from iii_cluster.cluster.map import Role
from iii_cluster.telemetry.metrics.snapshot import BusNumbers, Snapshot

from .node import Node
from .role import RoleService


def tell(node: Node, service: RoleService | None, snapshot: Snapshot) -> None:
    """`service` is None while the role starts."""
    info, current = node.info, node.membership.map
    snapshot.node, snapshot.role, snapshot.host = info.id, info.role, info.host
    snapshot.cluster = node.settings.cluster
    snapshot.pid, snapshot.version, snapshot.started_ms = info.pid, info.version, info.started_ms
    snapshot.term, snapshot.epoch = current.term, current.epoch
    snapshot.leading = current.leader == info.id and not node.membership.expelled
    if snapshot.leading:
        snapshot.members = dict(Counter(member.role.value for member in current.nodes.values()))
        snapshot.slots_unowned = sum(not owner.node for owner in current.slots)
    stats = node.bus.stats
    snapshot.bus = _bus(node.bus)
    snapshot.redis_connected = node.bus.ready
    snapshot.redis_reconnects = max(0, stats.connects - len(set(node.settings.redis_urls)))
    snapshot.redis_outages = stats.outages
    if service is not None:
        described = service.describe()
        if info.role is Role.GATEWAY:
            _gateway(described, snapshot)
        elif info.role is Role.SHARD:
            snapshot.slots = described.get("slots", 0)
            snapshot.in_flight = described.get("calls", 0)


# What a node counts of its bus.
_COUNTS = (
    "packets_sent", "packets_received", "bytes_sent", "bytes_received", "envelopes_sent", "envelopes_received",
    "resends", "duplicates", "gaps", "resets", "undecodable",
)  # fmt: skip


def add_counts(to: Snapshot, past: Snapshot) -> None:
    """What an earlier node of this process counted: a process that joins anew counts on."""
    for name in _COUNTS:
        setattr(to.bus, name, getattr(to.bus, name) + getattr(past.bus, name))
    to.redis_reconnects += past.redis_reconnects
    to.redis_outages += past.redis_outages


def _gateway(described: dict[str, Any], snapshot: Snapshot) -> None:
    """A role that a test makes up may leave something out."""
    http, limits = described.get("http", {}), described.get("limits", {})
    snapshot.in_flight = described.get("in_flight", 0) + described.get("kept", 0)
    snapshot.connections = described.get("connections", 0)
    snapshot.workers = described.get("workers", 0)
    snapshot.stream_clients = described.get("streams", {}).get("connections", 0)
    snapshot.channels = described.get("channels", {}).get("channels", 0)
    snapshot.http_in_progress = http.get("in_progress", 0)
    snapshot.refused = {
        "connections": limits.get("refused_connections", 0),
        "registrations": limits.get("refused_registrations", 0),
        "calls": limits.get("refused_calls", 0),
        "tokens": described.get("refused_tokens", 0),
        "requests": http.get("busy", 0) + http.get("refused", 0),
    }


def _bus(bus: Bus) -> BusNumbers:
    stats = bus.stats
    links = [peer.link for peer in bus.peers]
    return BusNumbers(
        packets_sent=stats.packets,
        packets_received=stats.packets_in,
        bytes_sent=stats.bytes,
        bytes_received=stats.bytes_in,
        envelopes_sent=stats.envelopes,
        envelopes_received=stats.envelopes_in,
        resends=stats.resent,
        duplicates=stats.duplicates,
        gaps=stats.gaps,
        resets=stats.resets,
        undecodable=stats.undecodable,
        queued_bytes=sum(link.backlog for link in links),
        unacked_bytes=sum(link.in_flight for link in links),
        peers=len(links),
        paused=sum(link.congested for link in links),
        unreachable=sum(peer.unreachable for peer in bus.peers),
    )
