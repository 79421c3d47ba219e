"""A node's place in the cluster: it renews its lease and follows the cluster map.

Redis errors are survived: the node keeps the map it has and tries again every interval.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection

import msgspec
from msgspec import DecodeError
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, RedisError

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
MAX_DEPARTED = 1000  # ids of former members that are remembered
DRAIN_INTERVALS = 2  # lease intervals that a draining node waits for the leader to say so in the map

logger = logging.getLogger(__name__)

Subscriber = Callable[[ClusterMap, ClusterMap], None]


class Membership:
    """Lease and newest known map of one node. `map` is empty, at (0, 0), until the first one is seen."""

    def __init__(self, redis: Redis, keys: Keys, node: NodeInfo, settings: Settings, predecessor: str = "") -> None:
        self.map = ClusterMap()
        self.node = node
        self._predecessor = predecessor  # earlier id of the process; it ends when this one begins
        self._ttl = settings.lease_ttl
        self._interval = settings.lease_interval
        self._redis = redis
        self._scripts = Scripts(redis, keys)
        self._server = ""  # the Redis that renewed the lease last
        self._departed: dict[str, None] = {}  # oldest first
        self._subscribers: list[Subscriber] = []
        self._lease_subscribers: list[Callable[[], None]] = []
        self._in_map = asyncio.Event()
        self._drain_shown = asyncio.Event()
        self._expelled = asyncio.Event()
        self._leased = asyncio.Event()
        self._leased_until = 0.0  # monotonic
        self._fenced_at: float | None = None
        self._fence: asyncio.TimerHandle | None = None
        self._renew_now = asyncio.Event()
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

    async def until_expelled(self) -> None:
        """Wait until this id was declared dead. It never comes back; a new incarnation can join."""
        await self._expelled.wait()

    async def begin_drain(self) -> None:
        """Tell with the lease that this node is about to leave; returns when the map says so.

        Waits for a few lease intervals at most, and not at all when there is no leader to answer.
        """
        if not self.node.draining:
            self.node = msgspec.structs.replace(self.node, draining=True)
            logger.info("action=draining node=%s", self.node.id)
            self._renew_now.set()
        if self.expelled or self.node.id not in self.map.nodes or self.map.leader not in self.map.nodes:
            return
        try:
            async with asyncio.timeout(DRAIN_INTERVALS * self._interval):
                await self._drain_shown.wait()
        except TimeoutError:
            logger.warning("action=drain_not_shown node=%s", self.node.id)

    async def leave(self) -> None:
        """Stop renewing and end the lease, so that the leader need not wait for it to expire."""
        if self._task is None:
            return
        await end(self._task)
        self._task = None
        self._leased_until = 0.0
        self._cancel_fence()
        if self.expelled:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._scripts.remove_leases([self.node.id])
        except REDIS_ERRORS as error:
            logger.warning("action=leave_failed node=%s error=%s", self.node.id, type(error).__name__)

    @property
    def healthy(self) -> bool:
        """The lease was renewed within its time to live, and the node was not declared dead."""
        return not self.expelled and time.monotonic() < self._leased_until

    @property
    def leased(self) -> bool:
        """The node has had a lease, if only once."""
        return self._leased.is_set()

    @property
    def expelled(self) -> bool:
        """This id was declared dead."""
        return self._expelled.is_set()

    @property
    def draining(self) -> bool:
        """This node is about to leave."""
        return self.node.draining

    @property
    def departed(self) -> Collection[str]:
        """Nodes that were members and are no longer, as far as remembered. Their ids never come back."""
        return self._departed.keys()

    def subscribe(self, fn: Subscriber) -> None:
        """Call fn(old, new) on every newer map, in the order of subscription."""
        self._subscribers.append(fn)

    def subscribe_lease(self, fn: Callable[[], None]) -> None:
        """Call fn() when `healthy` changed: the lease ran out, was renewed again, or this id was declared dead."""
        self._lease_subscribers.append(fn)

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
        self._remember_departed(old.nodes.keys() - new.nodes.keys())
        self._find_myself(new)
        for subscriber in self._subscribers:
            try:
                subscriber(old, new)
            except Exception:
                logger.exception("action=map_subscriber_failed term=%d epoch=%d", new.term, new.epoch)

    def _remember_departed(self, nodes: Collection[str]) -> None:
        self._departed |= dict.fromkeys(nodes)
        while len(self._departed) > MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]

    def _find_myself(self, new: ClusterMap) -> None:
        me = new.nodes.get(self.node.id)
        if me is not None:
            self._in_map.set()
            if me.draining:
                self._drain_shown.set()
        elif self._in_map.is_set() and self._task is not None:
            self._expel("not in the map")

    # -- the lease

    async def _keep_renewing(self) -> None:
        while not self.expelled:
            self._renew_now.clear()
            started = time.monotonic()
            ttl = self._lease_ttl()
            try:
                async with asyncio.timeout(self._ttl / 2):
                    renewal = await self._renew(ttl)
            except REDIS_ERRORS as error:
                self._outage.failed(started, error)
                if isinstance(error, ReadOnlyError):
                    # The other pooled connections would go on reading from a server that was demoted.
                    await self._redis.connection_pool.disconnect(inuse_connections=False)
            else:
                self._outage.worked(started)
                self._renewed(renewal, started + ttl)
            await self._pause()

    def _lease_ttl(self) -> float:
        """Longer than asked while the event loop lags: a busy node is not a dead one."""
        return min(self._ttl + LAG_FACTOR * self._lag, MAX_TTL_FACTOR * self._ttl)

    async def _renew(self, ttl: float) -> Renewal:
        known = self.map
        predecessor = "" if self.leased else self._predecessor
        renewal = await self._scripts.renew_lease(self.node, round(ttl * 1000), known.version, predecessor)
        if renewal.renewed and (renewal.term, renewal.epoch) < known.version and await self._scripts.restore_map(known):
            logger.warning("action=map_restored term=%d epoch=%d", known.term, known.epoch)
        if renewal.server != self._server:
            # A server that took over may have leases of nodes that are gone, and not know that they are.
            if self._departed:
                await self._scripts.remove_leases(self._departed)
            self._server = renewal.server
        return renewal

    def _renewed(self, renewal: Renewal, until: float) -> None:
        if not renewal.renewed:
            self._expel("lease refused")
            return
        self._extend(until)
        if renewal.body:
            self.offer(renewal.body)
        self._leased.set()

    def _expel(self, reason: str) -> None:
        if not self.expelled:
            logger.error("action=expelled node=%s reason=%s", self.node.id, reason)
            self._expelled.set()
            self._tell_lease()

    async def _pause(self) -> None:
        """Until the next renewal is due or asked for; measures how late the event loop is."""
        due = time.monotonic() + self._interval
        try:
            async with asyncio.timeout(self._interval):
                await self._renew_now.wait()
        except TimeoutError:
            self._lag = max(time.monotonic() - due, self._lag * LAG_DECAY)

    # -- fencing

    def _extend(self, until: float) -> None:
        now = time.monotonic()
        self._leased_until = until
        if self._fenced_at is not None and now < until:
            logger.info("action=unfenced node=%s fenced_s=%.1f", self.node.id, now - self._fenced_at)
            self._fenced_at = None
            self._tell_lease()
        self._cancel_fence()
        self._fence = asyncio.get_running_loop().call_later(max(until - now, 0.0), self._on_fence)

    def _on_fence(self) -> None:
        """The lease ran out: whatever has one owner may have another one by now."""
        self._fence = None
        if self._fenced_at is None and not self.expelled:
            self._fenced_at = self._leased_until
            logger.warning("action=fenced node=%s", self.node.id)
            self._tell_lease()

    def _tell_lease(self) -> None:
        for subscriber in self._lease_subscribers:
            try:
                subscriber()
            except Exception:
                logger.exception("action=lease_subscriber_failed node=%s", self.node.id)

    def _cancel_fence(self) -> None:
        if self._fence is not None:
            self._fence.cancel()
            self._fence = None
