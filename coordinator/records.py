"""The worker records in Redis, written in batches: everything of one loop tick goes in one pipeline."""

import asyncio
import logging
import time
from typing import Any

import msgspec
from redis.asyncio import Redis

from iii_cluster.cluster.membership import REDIS_ERRORS
from iii_cluster.cluster.outage import Outage

from .workers import WorkerRecord

RETRY_INTERVAL = 0.5  # s
CLOSE_TIMEOUT = 1.0  # s

logger = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WorkerRecord).decode


class WorkerRecords:
    """Writes wait for Redis as long as it takes; the newest write of a worker wins."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._key = key
        self._pending: dict[str, WorkerRecord | None] = {}
        self._writer: asyncio.Task[None] | None = None
        self._outage = Outage(logger, "worker_records")

    async def load(self) -> dict[str, WorkerRecord]:
        """All records. May raise RedisError."""
        stored: dict[bytes, bytes] = await self._redis.hgetall(self._key)  # type: ignore[assignment]
        return {worker.decode(): _decode(body) for worker, body in stored.items()}

    def store(self, worker: str, record: WorkerRecord) -> None:
        self._write_soon(worker, record)

    def erase(self, worker: str) -> None:
        self._write_soon(worker, None)

    def discard(self) -> None:
        """Forget what is not yet written: it is another leader's business now."""
        self._pending.clear()
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None

    async def close(self) -> None:
        """Give pending writes a moment, then give them up."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=CLOSE_TIMEOUT)
            self._writer.cancel()

    def _write_soon(self, worker: str, record: WorkerRecord | None) -> None:
        self._pending[worker] = record
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_pending(), name="worker-records")

    async def _write_pending(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, {}
            try:
                await self._write(batch)
                self._outage.worked(time.monotonic())
            except REDIS_ERRORS as error:
                self._outage.failed(time.monotonic(), error)
                self._pending = batch | self._pending
                await asyncio.sleep(RETRY_INTERVAL)

    async def _write(self, batch: dict[str, WorkerRecord | None]) -> None:
        stored: dict[Any, Any] = {worker: _encode(record) for worker, record in batch.items() if record is not None}
        erased = [worker for worker, record in batch.items() if record is None]
        async with self._redis.pipeline(transaction=False) as pipeline:
            if stored:
                pipeline.hset(self._key, mapping=stored)
            if erased:
                pipeline.hdel(self._key, *erased)
            await pipeline.execute()
