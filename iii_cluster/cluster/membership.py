"""A node's place in the cluster: it renews its lease and follows the cluster map.

Redis errors are survived: the node keeps the map it has and tries again every interval.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from msgspec import DecodeError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from iii_cluster.config.settings import Settings

from .keys import Keys
from .map import ClusterMap, NodeInfo, decode_map
from .outage import Outage
from .scripts import Renewal, Scripts
from .tasks import end

REDIS_ERRORS = (RedisError, OSError, TimeoutError)
LAG_FACTOR = 2  # a lease is longer by this multiple of the worst recent event loop lag
LAG_DECAY = 0.9  # per renewal
MAX_TTL_FACTOR = 5
LEAVE_TIMEOUT = 1.0  # s

logger = logging.getLogger(__name__)

Subscriber = Callable[[ClusterMap, ClusterMap], None]


class Membership:
    """Lease and newest known map of one node. `map` is empty, at (0, 0), until the first one is seen."""

    def __init__(self, redis: Redis, keys: Keys, node: NodeInfo, settings: Settings) -> None:
        self.map = ClusterMap()
        self.on_expelled: Callable[[], None] | None = None  # this id was declared dead; a new incarnation is needed
        self.expelled = False
        self._node = node
        self._ttl = settings.lease_ttl
        self._interval = settings.lease_interval
        self._scripts = Scripts(redis, keys)
        self._subscribers: list[Subscriber] = []
        self._in_map = asyncio.Event()
        self._leased = asyncio.Event()
        self._leased_until = 0.0  # monotonic
        self._lag = 0.0
        self._outage = Outage(logger, "lease_renewal")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the first lease (waiting for Redis if need be), then keep it."""
        self._task = asyncio.create_task(self._keep_renewing(), name="membership")
        await self._leased.wait()

    async def joined(self) -> ClusterMap:
        """Wait until the leader has put this node into the map."""
        await self._in_map.wait()
        return self.map

    async def leave(self) -> None:
        """Stop renewing and end the lease, so that the leader need not wait for it to expire."""
        if self._task is None:
            return
        await end(self._task)
        self._task = None
        self._leased_until = 0.0
        if self.expelled:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._scripts.remove_leases([self._node.id])
        except REDIS_ERRORS as error:
            logger.warning("action=leave_failed node=%s error=%s", self._node.id, type(error).__name__)

    @property
    def healthy(self) -> bool:
        """The lease was renewed within its time to live, and the node was not declared dead."""
        return not self.expelled and time.monotonic() < self._leased_until

    def subscribe(self, fn: Subscriber) -> None:
        """Call fn(old, new) on every newer map, in the order of subscription."""
        self._subscribers.append(fn)

    def offer(self, body: bytes) -> None:
        """A map body heard on the broadcast channel; taken if it is newer."""
        try:
            self.take(decode_map(body))
        except DecodeError as error:
            logger.warning("action=map_undecodable error=%s", error)

    def take(self, new: ClusterMap) -> None:
        """Adopt `new` if it is newer than what is known."""
        old = self.map
        if new.version <= old.version:
            return
        self.map = new
        if self._node.id in new.nodes:
            self._in_map.set()
        for subscriber in self._subscribers:
            try:
                subscriber(old, new)
            except Exception:
                logger.exception("action=map_subscriber_failed term=%d epoch=%d", new.term, new.epoch)

    async def _keep_renewing(self) -> None:
        while not self.expelled:
            started = time.monotonic()
            ttl = self._lease_ttl()
            try:
                async with asyncio.timeout(self._ttl / 2):
                    renewal = await self._renew(ttl)
            except REDIS_ERRORS as error:
                self._outage.failed(started, error)
            else:
                self._outage.worked(started)
                self._renewed(renewal, started + ttl)
            await self._pause()

    def _lease_ttl(self) -> float:
        """Longer than asked while the event loop lags: a busy node is not a dead one."""
        return min(self._ttl + LAG_FACTOR * self._lag, MAX_TTL_FACTOR * self._ttl)

    async def _renew(self, ttl: float) -> Renewal:
        known = self.map
        renewal = await self._scripts.renew_lease(self._node, round(ttl * 1000), known.version)
        if renewal.renewed and (renewal.term, renewal.epoch) < known.version and await self._scripts.restore_map(known):
            logger.warning("action=map_restored term=%d epoch=%d", known.term, known.epoch)
        return renewal

    def _renewed(self, renewal: Renewal, until: float) -> None:
        if not renewal.renewed:
            self.expelled = True
            logger.error("action=expelled node=%s", self._node.id)
            if self.on_expelled is not None:
                self.on_expelled()
            return
        self._leased_until = until
        if renewal.body:
            self.offer(renewal.body)
        self._leased.set()

    async def _pause(self) -> None:
        before = time.monotonic()
        await asyncio.sleep(self._interval)
        lag = time.monotonic() - before - self._interval
        self._lag = max(lag, self._lag * LAG_DECAY)
