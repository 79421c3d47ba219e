"""One incarnation of one process in the cluster."""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError

from iii_cluster.bus.ask import Asker, AskError
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.map import ClusterMap, NodeInfo
from iii_cluster.cluster.membership import REDIS_ERRORS, Membership
from iii_cluster.config.redact import redact_url
from iii_cluster.config.settings import Settings
from iii_cluster.redis.commands import DRIVER
from iii_cluster.telemetry.metrics.gather import SNAPSHOT
from iii_cluster.telemetry.metrics.snapshot import encode_snapshot
from iii_cluster.telemetry.telemetry import Telemetry

from .stopping import Grace

REDIS_CONNECT_TIMEOUT = 2.0  # s
REDIS_COMMAND_TIMEOUT = 5.0  # s
REDIS_WAIT_INTERVAL = 0.2  # s between attempts at start
REDIS_WAIT_LOG_INTERVAL = 5.0  # s between log lines while waiting

logger = logging.getLogger(__name__)


class Node:
    """Redis, bus, membership and their wiring. A node that was declared dead is stopped and replaced by another one,
    whose `predecessor` it is."""

    def __init__(
        self, info: NodeInfo, settings: Settings, predecessor: str = "", telemetry: Telemetry | None = None
    ) -> None:
        """`telemetry` is the process's, for all its incarnations."""
        self.settings = settings
        self.telemetry = telemetry or Telemetry(settings)
        self.keys = Keys(settings.cluster)
        self.redis = _redis_client(info.id, settings)
        self.bus = Bus(info.id, settings.redis_urls, self.keys)
        self.asker = Asker(self.bus)
        self.membership = Membership(self.redis, self.keys, info, settings, predecessor)
        self.on_drain: Callable[[float], None] | None = None  # asked to leave, with seconds of grace
        self._bus_started = False
        self.membership.subscribe(self._on_map)
        self.bus.on_map = self.membership.offer
        self.asker.answer("node.drain", self._drain_asked)
        self.asker.answer(SNAPSHOT, lambda _src, _body: encode_snapshot(self.telemetry.metrics.snapshot()))

    @property
    def info(self) -> NodeInfo:
        return self.membership.node

    async def start(self) -> None:
        """Wait for Redis, subscribe to the inbox, take the lease. Being in the map comes later."""
        await self._wait_for_redis()
        self._bus_started = True
        await self.bus.start()
        await self.membership.start()

    async def begin_drain(self) -> None:
        """Tell the cluster that this node is about to leave; returns when the map says so, or soon."""
        await self.membership.begin_drain()

    async def stop(self, *, linger: bool = True) -> None:
        """Leave the cluster; without `linger`, without waiting until what was sent has arrived."""
        if linger and self._bus_started:
            await self.bus.settle()  # nobody listens to a node that has left
        await self.membership.leave()
        self.asker.close()
        await self.asker.stop()
        if self._bus_started:
            self._bus_started = False
            await self.bus.stop(linger=linger)
        await self.redis.aclose()

    async def _wait_for_redis(self) -> None:
        next_log = 0.0
        while True:
            try:
                await self.redis.ping()
                return
            except REDIS_ERRORS as error:
                if time.monotonic() >= next_log:
                    next_log = time.monotonic() + REDIS_WAIT_LOG_INTERVAL
                    url = self.settings.redis_urls[0]
                    logger.warning("action=waiting_for_redis url=%s error=%s", redact_url(url), error)
            await asyncio.sleep(REDIS_WAIT_INTERVAL)

    def _on_map(self, old: ClusterMap, new: ClusterMap) -> None:
        for node in old.nodes.keys() - new.nodes.keys() - {self.info.id}:
            self.bus.forget(node)
            self.asker.node_lost(node)
        self.bus.set_members(new.nodes.keys() - {self.info.id})

    def _drain_asked(self, src: str, body: object) -> bool:
        if self.on_drain is None:
            raise AskError("this node can not be drained")
        asked = msgspec.convert(body, Grace).timeout
        grace = self.settings.drain_timeout if asked is None else asked
        logger.info("action=drain_asked source=%s grace_s=%.1f", src, grace)
        self.on_drain(grace)
        return True


def _redis_client(name: str, settings: Settings) -> Redis:
    return Redis.from_url(
        settings.redis_urls[0],
        client_name=name,
        driver_info=DRIVER,
        socket_connect_timeout=REDIS_CONNECT_TIMEOUT,
        socket_timeout=REDIS_COMMAND_TIMEOUT,
        # Once, for a pooled connection that died unnoticed; whoever calls decides about more.
        retry=Retry(NoBackoff(), 1),
        # A connection to a server that was demoted is closed: the next one resolves the name anew.
        retry_on_error=[ReadOnlyError],
    )
