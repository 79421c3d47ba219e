"""The worker records in Redis, written in batches: everything of one loop tick goes together."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from itertools import islice

import msgspec
from redis.asyncio import Redis

from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.membership import REDIS_ERRORS
from iii_cluster.cluster.outage import Outage
from iii_cluster.cluster.scripts import Scripts

from .workers import WorkerRecord

MAX_BATCH = 1000  # records of one script call
RETRY_INTERVAL = 0.5  # s

logger = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WorkerRecord).decode


class WorkerRecords:
    """Written under the leader's term, which `term()` tells (0: not leading, or not yet).

    Writes wait for Redis and for the term as long as it takes; the newest write of a worker wins.
    """

    def __init__(
        self, redis: Redis, keys: Keys, term: Callable[[], int], stored: Callable[[Mapping[str, WorkerRecord]], None]
    ) -> None:
        self._redis = redis
        self._key = keys.workers
        self._scripts = Scripts(redis, keys)
        self._term = term
        self._stored = stored  # told of records that are written
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

    async def flush(self, patience: float) -> None:
        """Give pending writes up to `patience` seconds."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=patience)

    def _write_soon(self, worker: str, record: WorkerRecord | None) -> None:
        self._pending[worker] = record
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_pending(), name="worker-records")

    async def _write_pending(self) -> None:
        while self._pending:
            batch = {worker: self._pending.pop(worker) for worker in list(islice(self._pending, MAX_BATCH))}
            try:
                written = await self._write(batch)
                self._outage.worked(time.monotonic())
            except REDIS_ERRORS as error:
                self._outage.failed(time.monotonic(), error)
                written = False
            if not written:
                self._pending = batch | self._pending
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            self._stored({worker: record for worker, record in batch.items() if record is not None})

    async def _write(self, batch: dict[str, WorkerRecord | None]) -> bool:
        """False: the term is over, or has not begun."""
        term = self._term()
        if not term:
            return False
        stored = {worker: _encode(record) for worker, record in batch.items() if record is not None}
        erased = [worker for worker, record in batch.items() if record is None]
        return await self._scripts.write_records(term, stored, erased)
