"""Gateways of one cluster share the ports of a host; those of two would take each other's workers and clients."""

import asyncio
import errno
import socket

from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.cluster.membership import Membership
from iii_cluster.config.ports import Listening

# How long a listening neighbour may take to show in the map, seconds.
_PATIENCE = 3.0
_STEP = 0.1


async def check_port(own: Listening, me: str, membership: Membership) -> None:
    """Raise OSError when somebody outside this cluster listens on the port that shall be `own`."""
    if own.port == 0 or not await _listening(own.host, own.port):
        return
    waited = 0.0
    while not _neighbour(own, me, membership.map):
        if waited >= _PATIENCE:
            raise OSError(
                errno.EADDRINUSE,
                f"port {own.port} is used by somebody outside this cluster; choose another one with {own.option}",
            )
        await asyncio.sleep(_STEP)
        waited += _STEP


async def _listening(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)
    except OSError:
        return False
    writer.close()
    return True


def _neighbour(own: Listening, me: str, current: ClusterMap) -> bool:
    here = socket.gethostname()
    return any(
        node.role is Role.GATEWAY and node.id != me and node.host == here and node.ports.get(own.name) == own.port
        for node in current.nodes.values()
    )
