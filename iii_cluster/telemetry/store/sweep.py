"""Removes what is too old. All processes try, one of them does it."""

import asyncio
import random

from redis.exceptions import ResponseError

from iii_cluster.redis.commands import Unavailable

from ..config import Observability, TraceStorage
from .store import RECORD_BYTES, Store

INTERVAL = 60  # s


async def sweep(store: Store, config: Observability) -> None:
    """Once. Raises what the store raises."""
    storage = config.trace_storage or TraceStorage()
    now = await store.now_ms()
    size = storage.memory_max_bytes
    low = int(size * storage.memory_low_watermark_ratio)
    oldest = f"{max(0, now - storage.retention_seconds * 1000)}-0"
    while await store.evict_spans(config.memory_max_spans, size, low, oldest):
        pass
    await store.expire_logs(now - config.logs_retention_seconds * 1000)
    await store.expire_metrics(now - config.metrics_retention_seconds * 1000)
    await store.trim_logs(config.logs_max_count, RECORD_BYTES)
    await store.trim_metrics(config.metrics_max_count, RECORD_BYTES)


async def keep_swept(store: Store, config: Observability, interval: float = INTERVAL) -> None:
    """Until it is cancelled."""
    while True:
        await asyncio.sleep(interval * random.uniform(0.8, 1.2))
        try:
            if await store.turn_to("sweep", max(1, int(interval * 0.7))):
                await sweep(store, config)
        except (Unavailable, ResponseError):
            pass  # the writer tells of it
