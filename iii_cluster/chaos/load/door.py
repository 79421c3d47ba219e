"""Where clients enter the cluster, and how they wait until they try again."""

import json
import os
import random
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect

from iii_cluster.access.trust import Secured
from iii_cluster.chaos.clusters.addresses import tls_of
from iii_cluster.protocol.credentials import token_headers

FIRST_WAIT = 1.0  # s
JITTER = 0.3
LONGEST_WAIT = 2.0  # s; clients in the field go to 30, here it would only hide what the cluster does
CLOSE_TIMEOUT = 0.5  # s
MAX_MESSAGE = 64 * 2**20  # bytes


class Door(Struct, frozen=True):
    """`gateway_of` tells which gateway's process gave a worker its id: behind one port there may be several."""

    url: str
    gateway_of: Callable[[str], str]
    secured: Secured | None = None

    async def enter(self) -> tuple[ClientConnection, dict[str, Any]]:
        """An open connection and its first frame."""
        socket = await connected_to(self.url, self.secured)
        try:
            return socket, json.loads(await socket.recv())
        except BaseException:
            await socket.close()
            raise


async def connected_to(url: str, secured: Secured | None) -> ClientConnection:
    """Without a time limit. `secured` is for wss."""
    return await connect(
        url,
        open_timeout=None,
        close_timeout=CLOSE_TIMEOUT,
        ping_interval=None,
        max_size=MAX_MESSAGE,
        compression=None,
        additional_headers=token_headers(os.environ),  # gateways that were started here want it, too
        proxy=None,
        **tls_of(secured),
    )


class Backoff:
    """As the published clients do it, but with a lower cap."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next = FIRST_WAIT

    def reset(self) -> None:
        self._next = FIRST_WAIT

    def wait(self) -> float:
        """Seconds until the next attempt."""
        delay = self._next * self._rng.uniform(1 - JITTER, 1 + JITTER)
        self._next = min(self._next * 2, LONGEST_WAIT)
        return delay
