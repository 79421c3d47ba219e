"""What the admin port tells: readiness, the cluster map in words, numbers of this node."""

from itertools import groupby
from typing import Any

import msgspec

from iii_cluster.cluster.map import ClusterMap, incarnation_of

from .node import Node
from .role import RoleService


def not_ready(node: Node, service: RoleService | None) -> list[str]:
    """Why the node can not serve now; empty when it can."""
    reasons = []
    member = node.membership
    if not node.bus.ready:
        reasons.append("bus is not subscribed")
    if member.expelled:
        reasons.append("fenced: it was declared dead and joins anew")
    elif not member.leased:
        reasons.append("no lease yet")
    elif not member.healthy:
        reasons.append("fenced: its lease ran out")
    elif node.info.id not in member.map.nodes:
        reasons.append("not in the cluster map")
    if member.draining:
        reasons.append("draining")
    if service is None:
        reasons.append("starting")
    elif not service.ready():
        reasons.append(f"{node.info.role} is not ready")
    return reasons


def cluster(current: ClusterMap) -> dict[str, Any]:
    """The map as JSON: nodes, leader, version and the slots of each shard as [first, last] ranges."""
    return {
        "term": current.term,
        "epoch": current.epoch,
        "leader": current.leader,
        "nodes": [msgspec.to_builtins(node) for node in current.nodes.values()],
        "slots": slot_ranges(current),
    }


def slot_ranges(current: ClusterMap) -> dict[str, list[list[int]]]:
    ranges: dict[str, list[list[int]]] = {}
    slot = 0
    for node, run in groupby(current.slots, key=lambda owner: owner.node):
        first, slot = slot, slot + sum(1 for _ in run)
        if node:
            ranges.setdefault(node, []).append([first, slot - 1])
    return ranges


def status(node: Node, service: RoleService | None) -> dict[str, Any]:
    reasons = not_ready(node, service)
    return {
        **msgspec.to_builtins(node.info),
        "incarnation": incarnation_of(node.info.id),
        "ready": not reasons,
        "reasons": reasons,
        "map": {"term": node.membership.map.term, "epoch": node.membership.map.epoch},
        "bus": _numbers(node.bus.stats),
        "service": service.describe() if service is not None else {},
    }


def _numbers(stats: object) -> dict[str, int | float]:
    public = ((name, getattr(stats, name)) for name in dir(stats) if not name.startswith("_"))
    return {name: value for name, value in public if isinstance(value, int | float)}
