"""Durable triggers in Redis: a hash, trigger id -> encoded `BindTrigger`. Gateways write it, shards read and delete."""

import asyncio
import logging
import time

from msgspec import DecodeError
from redis.asyncio import Redis

from iii_cluster.bus.envelopes import BindTrigger, Owner, decode_envelope, encode_envelope
from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.membership import REDIS_ERRORS
from iii_cluster.cluster.outage import Outage

DURABLE = Owner("", 0, "")  # owns what no connection owns; never released
MAX_DURABLE = 10_000  # triggers; a hand-over reads all of them
RETRY_DELAY = 0.5  # seconds

logger = logging.getLogger(__name__)


class DurableTriggers:
    """Survives outages of Redis: reading raises, deleting tries until it succeeds."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._key = keys.durable_triggers
        self._outage = Outage(logger, "durable_triggers")

    async def add(self, bind: BindTrigger) -> bool:
        """Store one; False when there are too many. Raises one of REDIS_ERRORS."""
        if await self._redis.hlen(self._key) >= MAX_DURABLE:
            return False
        await self._redis.hset(self._key, bind.trigger.id, encode_envelope(bind))
        return True

    async def load(self) -> list[BindTrigger]:
        """Everything stored; what cannot be read is left out and logged. Raises one of REDIS_ERRORS."""
        stored = await self._redis.hgetall(self._key)
        triggers = []
        for id, blob in stored.items():
            try:
                envelope = decode_envelope(blob)  # type: ignore[arg-type]  # bytes: the client decodes nothing
            except DecodeError as error:
                logger.warning("action=durable_trigger_undecodable id=%r error=%s", id, error)
                continue
            if isinstance(envelope, BindTrigger):
                triggers.append(envelope)
        return triggers

    async def forget(self, id: str) -> None:
        """Delete one; returns when Redis has done it."""
        while True:
            try:
                await self._redis.hdel(self._key, id)
                self._outage.worked(time.monotonic())
                return
            except REDIS_ERRORS as error:
                self._outage.failed(time.monotonic(), error)
                await asyncio.sleep(RETRY_DELAY)
