"""The cluster on one page: nodes, slots, what it does and has done. Pure."""

import time
from typing import Any

import msgspec

from iii_cluster import __version__
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from iii_cluster.node.status import slot_ranges
from iii_cluster.telemetry.metrics.snapshot import Snapshot

from .history import History
from .marks import Marks
from .reach import Redis

Row = dict[str, Any]


def overview(
    name: str, node: str, current: ClusterMap, redis: Redis, history: History, marks: Marks, functions: int | None
) -> Row:
    """`functions`: how many are registered, None while nobody knows."""
    slots = slot_ranges(current)
    rows = [
        _node(info, current, sum(last - first + 1 for first, last in slots.get(info.id, ())), history)
        for info in sorted(current.nodes.values(), key=_order)
    ]
    return {
        "cluster": name,
        "version": __version__,
        "term": current.term,
        "epoch": current.epoch,
        "leader": current.leader if current.leader in current.nodes else "",
        "node": node,
        "time_ms": int(time.time() * 1000),
        "redis": redis,
        "nodes": rows,
        "slots": slots,
        "totals": _totals(history, functions),
        "series": history.series(),
        "marks": list(marks.marks),
    }


def _order(info: NodeInfo) -> tuple[int, str]:
    return (Role.GATEWAY, Role.SHARD, Role.COORDINATOR).index(info.role), info.id


def _node(info: NodeInfo, current: ClusterMap, slots: int, history: History) -> Row:
    snapshot, latest = history.snapshots.get(info.id), history.latest(info.id)
    return {
        "id": info.id,
        "role": info.role,
        "host": info.host,
        "pid": info.pid,
        "version": info.version,
        "started_ms": info.started_ms,
        "ports": info.ports,
        "ready": snapshot is not None,
        "draining": info.draining,
        "leader": info.id == current.leader,
        "slots": slots,
        **_numbers(snapshot),
        "cpu": round(latest.cpu, 3) if latest else None,
        "per_second": round(latest.per_second, 2) if latest else None,
        "errors_per_second": round(latest.errors, 2) if latest else None,
    }


def _numbers(snapshot: Snapshot | None) -> Row:
    if snapshot is None:
        return dict.fromkeys(("rss", "lag_ms", "connections", "workers", "in_flight"), None) | {"bus": {}, "gauges": {}}
    return {
        "rss": snapshot.rss_bytes,
        "lag_ms": round(snapshot.loop_lag_ms, 2),
        "connections": snapshot.connections,
        "workers": snapshot.workers,
        "in_flight": snapshot.in_flight,
        "bus": msgspec.to_builtins(snapshot.bus),
        "gauges": {
            "fds": snapshot.fds,
            "stream_clients": snapshot.stream_clients,
            "channels": snapshot.channels,
            "redis_outages": snapshot.redis_outages,
            **snapshot.gauges,
        },
    }


def _totals(history: History, functions: int | None) -> Row:
    snapshots = history.snapshots.values()
    return {
        **history.lately(),
        "in_flight": sum(one.in_flight for one in snapshots),
        "calls": sum(one.count for one in history.functions.values()),
        "errors": sum(one.errors for one in history.functions.values()),
        "workers": sum(one.workers for one in snapshots),
        "functions": functions,
        "connections": sum(one.connections for one in snapshots),
    }
