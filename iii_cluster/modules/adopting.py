"""Asking all gateways what became of deliveries that an earlier owner began."""

from collections.abc import Collection
from typing import NamedTuple

from iii_cluster.bus.ask import Asker
from iii_cluster.cluster.map import ClusterMap, Role

FIND = "deliveries.find"

# How long a gateway has to answer, seconds; it may have to take in the asker's map first.
PATIENCE = 3.0


class Found(NamedTuple):
    serving: dict[str, tuple[str, str]]  # by name: the gateway that serves it, the invocation id of its answer
    ended: dict[str, bytes]  # by name: the error, b"" for success
    complete: bool  # every gateway has answered


async def find(asker: Asker, current: ClusterMap, names: Collection[str]) -> Found:
    """What the gateways of a map know. Ends of what is being served come to this node from now on, perhaps before
    this returns."""
    said, missing = await asker.ask_all(
        current.of_role(Role.GATEWAY), FIND, {"names": list(names), "epoch": current.epoch}, timeout=PATIENCE
    )
    serving: dict[str, tuple[str, str]] = {}
    ended: dict[str, bytes] = {}
    for gateway, answer in said.items():
        serving |= {name: (gateway, invocation) for name, invocation in answer["serving"].items()}
        ended |= answer["ended"]
    return Found(serving, {name: error for name, error in ended.items() if name not in serving}, not missing)
