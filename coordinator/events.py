"""The events the leader fires: workers come and go, functions change."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from iii_cluster.bus.ask import Asker
from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.map import Role
from iii_cluster.cluster.membership import REDIS_ERRORS, Membership
from iii_cluster.cluster.outage import Outage
from iii_cluster.cluster.scripts import Scripts
from iii_cluster.protocol.builtin_types import FUNCTIONS_AVAILABLE
from iii_cluster.protocol.listing import FunctionRow, function_row
from iii_cluster.routing.firing import Firing

POLL_INTERVAL = 5.0  # s
ASK_TIMEOUT = 2.0  # s
NO_FUNCTIONS = "0:0"  # digest of the empty registry

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class FunctionsChanged(Struct, tag_field="event", tag="functions_changed"):
    functions: list[FunctionRow]


def worker_event(event: str, worker: str) -> bytes:
    return _encode({"event": event, "worker_id": worker})


def cluster_digest(answers: Mapping[str, Any], silent: Collection[str]) -> str | None:
    """One digest of the shards' answers, None while some shard is silent or still being filled."""
    if silent or not answers or any(answer["filling"] for answer in answers.values()):
        return None
    count = digest = 0
    for answer in answers.values():
        count += answer["count"]
        digest ^= answer["digest"]
    return f"{count}:{digest:x}"


def functions_changed(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The event's payload from the rows of all shards, ordered by id; it may go to clients of any age."""
    ordered = sorted(rows, key=lambda row: (row["id"], row["namespace"]))
    return _encode(FunctionsChanged([function_row(row, {}, oldest_formats=True) for row in ordered]))


class FunctionsPoll:
    """While leading, compares the registry with what the last event told. That digest outlives leaders, in Redis."""

    def __init__(
        self, firing: Firing, asker: Asker, membership: Membership, redis: Redis, keys: Keys, term: Callable[[], int]
    ) -> None:
        self._firing = firing
        self._asker = asker
        self._membership = membership
        self._redis = redis
        self._key = keys.functions_digest
        self._scripts = Scripts(redis, keys)
        self._term = term  # this node leads in right now, 0 if it does not
        self._outage = Outage(logger, "functions_poll")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            if not self._term():
                continue
            try:
                await self.poll()
                self._outage.worked(time.monotonic())
            except REDIS_ERRORS as error:
                self._outage.failed(time.monotonic(), error)
            except Exception:
                logger.exception("action=functions_poll_failed")

    async def poll(self) -> None:
        """Fire if the functions are others than last time. May raise RedisError."""
        term = self._term()
        shards = self._membership.map.of_role(Role.SHARD)
        digest = cluster_digest(*await self._asker.ask_all(shards, "registry.digest", timeout=ASK_TIMEOUT))
        if digest is None:
            return
        stored: bytes | None = await self._redis.get(self._key)  # type: ignore[assignment]
        if digest == (stored.decode() if stored else NO_FUNCTIONS):
            return
        if self._firing.triggers(FUNCTIONS_AVAILABLE):
            answers, silent = await self._asker.ask_all(shards, "functions.list", timeout=ASK_TIMEOUT)
            if silent or not term or self._term() != term:
                return
            self._firing.fire(FUNCTIONS_AVAILABLE, functions_changed(row for rows in answers.values() for row in rows))
        await self._scripts.write_digest(term, digest)
