"""The function that lists the processes of the cluster with their numbers."""

from typing import Any

import msgspec

from iii_cluster.modules.engine import Engine
from iii_cluster.telemetry.metrics.durations import BOUNDS
from iii_cluster.telemetry.metrics.gather import SNAPSHOT, decoded

NODES = "engine::nodes::list"


async def list_nodes(engine: Engine) -> dict[str, Any]:
    """`{nodes, bounds, partial?, missing_nodes?}`: a node's numbers are totals since its process began; the buckets of
    durations have the `bounds`, in seconds."""
    snapshots, missing = decoded(*await engine.ask_nodes(SNAPSHOT))
    answer: dict[str, Any] = {
        "nodes": [msgspec.to_builtins(snapshots[node]) for node in sorted(snapshots)],
        "bounds": BOUNDS,
    }
    if missing:
        answer |= {"partial": True, "missing_nodes": sorted(missing)}
    return answer
