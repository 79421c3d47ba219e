"""What every role's process is made of, and how it starts, runs and stops."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import uvloop
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from iii_cluster import __version__
from iii_cluster.bus.ask import Asker
from iii_cluster.bus.service import Bus
from iii_cluster.cluster.keys import Keys
from iii_cluster.cluster.map import ClusterMap, NodeInfo, Role
from iii_cluster.cluster.membership import REDIS_ERRORS, Membership
from iii_cluster.cluster.tasks import end
from iii_cluster.config.redact import redact_url
from iii_cluster.config.settings import Settings

from . import logs, status
from .admin import Admin, bind
from .readiness import report_ready, watch_lifeline
from .stopping import EXIT_FAILED, StopRequest

REDIS_CONNECT_TIMEOUT = 2.0  # s
REDIS_COMMAND_TIMEOUT = 5.0  # s
REDIS_WAIT_INTERVAL = 0.2  # s between attempts at start
REDIS_WAIT_LOG_INTERVAL = 5.0  # s between log lines while waiting
STOP_MARGIN = 5.0  # s a service may take to stop beyond its drain timeout

logger = logging.getLogger(__name__)


class RoleService(Protocol):
    async def start(self) -> None:
        """Called when the node is in the map; returns when the role serves."""

    async def stop(self, grace: float) -> None:
        """Drain and close within `grace` seconds. Also called when the process ends before `start`."""

    async def rejoin(self, node: "Node") -> "RoleService":
        """The old incarnation is over: go on with `node`, which has a lease but is not yet in the map.

        Returns who serves from now on. Called again, with a newer node, when that one does not get into the map.
        """

    async def rejoined(self) -> None:
        """Called when the new incarnation is in the map."""

    def ready(self) -> bool: ...

    def ports(self) -> dict[str, int]:
        """Bound ports by name, such as {"worker": 49134}."""

    def describe(self) -> dict[str, Any]:
        """Numbers for the admin port, JSON-able."""


Serve = Callable[["Node"], Awaitable[RoleService]]


class Node:
    """One incarnation of one process in the cluster: Redis, bus, membership and their wiring."""

    def __init__(self, info: NodeInfo, settings: Settings) -> None:
        self.info = info
        self.settings = settings
        self.keys = Keys(settings.cluster)
        self.redis = _redis_client(info.id, settings)
        self.bus = Bus(info.id, settings.redis_urls, self.keys)
        self.asker = Asker(self.bus)
        self.membership = Membership(self.redis, self.keys, info, settings)
        self._bus_started = False
        self.membership.subscribe(self._on_map)
        self.bus.on_map = self.membership.offer

    async def start(self) -> None:
        """Wait for Redis, subscribe to the inbox, take the lease. Being in the map comes later."""
        await self._wait_for_redis()
        self._bus_started = True
        await self.bus.start()
        await self.membership.start()

    async def begin_drain(self) -> None:
        """Tell the cluster that this node is about to leave; returns when the map says so, or soon."""
        await self.membership.begin_drain()
        self.info = self.membership.node

    async def stop(self, *, linger: bool = True) -> None:
        """Leave the cluster; without `linger`, without waiting until what was sent has arrived."""
        await self.membership.leave()
        if self._bus_started:
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


def _redis_client(name: str, settings: Settings) -> Redis:
    return Redis.from_url(
        settings.redis_urls[0],
        client_name=name,
        socket_connect_timeout=REDIS_CONNECT_TIMEOUT,
        socket_timeout=REDIS_COMMAND_TIMEOUT,
        # Once, for a pooled connection that died unnoticed; whoever calls decides about more.
        retry=Retry(NoBackoff(), 1),
    )


def run_role(role: Role, settings: Settings, serve: Serve, *, ready_fd: int | None, lifeline_fd: int | None) -> int:
    """Run one process of the cluster until it is told to stop; returns its exit code (0: graceful)."""
    logs.set_up(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(role, settings, serve, ready_fd, lifeline_fd))


async def _run(role: Role, settings: Settings, serve: Serve, ready_fd: int | None, lifeline_fd: int | None) -> int:
    stop = StopRequest()
    stop.listen()
    if lifeline_fd is not None:
        watch_lifeline(lifeline_fd, lambda: stop.request("supervisor_gone"))
    process = RoleProcess(role, settings, serve, stop)
    starting = asyncio.create_task(process.start(ready_fd))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and (error := starting.exception()) is not None:
        logger.error("action=start_failed role=%s error=%r", role, error, exc_info=_unexpected(error))
        stop.request("start_failed", EXIT_FAILED)
    await stopping
    await end(starting)
    await process.stop()
    return stop.exit_code


def _unexpected(error: BaseException) -> BaseException | None:
    """OSError tells enough by itself (a port in use); anything else deserves its traceback."""
    return None if isinstance(error, OSError) else error


class RoleProcess:
    """The steps of a process' life, in order, and back."""

    def __init__(self, role: Role, settings: Settings, serve: Serve, stop: StopRequest) -> None:
        self._role = role
        self._settings = settings
        self._serve = serve
        self._stop = stop
        self._node: Node | None = None
        self._service: RoleService | None = None
        self._admin: Admin | None = None

    async def start(self, ready_fd: int | None) -> None:
        """Node and admin port, role, membership, then the role's listeners; last, tell the supervisor."""
        listener = bind(self._settings.admin_host, self._settings.admin_port)
        admin_port = listener.getsockname()[1]
        node = self._node = Node(_node_info(self._role, self._settings, admin_port), self._settings)
        self._admin = Admin(listener, self._pages(node))
        await self._admin.start()
        logger.info("action=node_starting node=%s version=%s admin_port=%d", node.info.id, __version__, admin_port)
        await node.start()
        service = self._service = await self._serve(node)
        current = await node.membership.joined()
        logger.info("action=node_joined node=%s term=%d epoch=%d", node.info.id, current.term, current.epoch)
        await service.start()
        ports = {**service.ports(), "admin": admin_port}
        logger.info("action=node_ready node=%s ports=%s", node.info.id, ports)
        if ready_fd is not None:
            report_ready(ready_fd, {"id": node.info.id, "role": self._role, "pid": os.getpid(), "ports": ports})

    async def stop(self) -> None:
        """The way back: drain the role, leave the cluster, close the bus, then the admin port."""
        if self._service is not None:
            await self._stop_service(self._service)
        if self._node is not None:
            await self._node.stop()
            logger.info("action=node_stopped node=%s", self._node.info.id)
        if self._admin is not None:
            await self._admin.stop()

    async def _stop_service(self, service: RoleService) -> None:
        try:
            async with asyncio.timeout(self._settings.drain_timeout + STOP_MARGIN):
                await service.stop(self._settings.drain_timeout)
        except TimeoutError:
            logger.error("action=service_stop_timed_out role=%s", self._role)
        except Exception:
            logger.exception("action=service_stop_failed role=%s", self._role)

    def _pages(self, node: Node) -> dict[str, Any]:
        def readyz() -> tuple[int, Any]:
            reasons = status.not_ready(node, self._service)
            return (503 if reasons else 200), {"ready": not reasons, "reasons": reasons}

        return {
            "/healthz": lambda: (200, {"alive": True}),
            "/readyz": readyz,
            "/cluster": lambda: (200, status.cluster(node.membership.map)),
            "/status": lambda: (200, status.status(node, self._service)),
        }


def _node_info(role: Role, settings: Settings, admin_port: int) -> NodeInfo:
    ports = {"admin": admin_port}
    if role is Role.GATEWAY and settings.worker_port:  # a free one is only known when it is bound
        ports["worker"] = settings.worker_port
    return NodeInfo(
        id=f"{role}-{secrets.token_hex(4)}",
        role=role,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_ms=int(time.time() * 1000),
        version=__version__,
        ports=ports,
    )
