"""Where Redis is short of memory, telemetry goes first: a Redis that is full refuses jobs and state, too."""

import asyncio
import contextlib
import random

from redis.exceptions import ResponseError

from iii_cluster.redis.commands import Unavailable

from .store import Store

INTERVAL = 5.0  # s between looks of one process
RESERVE = 0.2  # of the memory Redis may use, which telemetry leaves to others
STEP = 0.25  # of what is kept that goes at once


async def make_room(store: Store, interval: float = INTERVAL) -> None:
    """Look once, and let the oldest go if need be."""
    store.short = await store.memory() > 1 - RESERVE
    if store.short and await store.turn_to("room", max(1, int(interval * 0.7))):
        await store.shrink(1 - STEP)


async def keep_room(store: Store, interval: float = INTERVAL) -> None:
    """Until it is cancelled."""
    while True:
        with contextlib.suppress(Unavailable, ResponseError):  # the writer tells of it
            await make_room(store, interval)
        await asyncio.sleep(interval * random.uniform(0.8, 1.2))
