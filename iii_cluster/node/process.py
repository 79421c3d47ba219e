"""The life of a role's process: it starts, serves through one incarnation or several, and stops."""

import asyncio
import gc
import logging
import os
import secrets
import socket
import time
from collections.abc import Coroutine
from typing import Any

import uvloop

from iii_cluster import __version__
from iii_cluster.cluster.map import NodeInfo, Role
from iii_cluster.cluster.tasks import end
from iii_cluster.config.ports import admin_port, metrics_port, shared_ports
from iii_cluster.config.settings import Settings
from iii_cluster.telemetry.metrics.exposition import Exposition
from iii_cluster.telemetry.metrics.snapshot import Snapshot
from iii_cluster.telemetry.telemetry import Telemetry

from . import logs, numbers, status
from .admin import Page
from .drain import drain
from .log_spooling import LogSpooling
from .node import Node
from .own_ports import OwnPorts
from .readiness import report_ready, watch_lifeline
from .role import RoleService, Serve
from .stopping import EXIT_FAILED, StopRequest

STOP_MARGIN = 5.0  # s a service may take to stop beyond its grace
REJOIN_INTERVAL = 0.5  # s between attempts that failed for an unexpected reason
# Containers made between two looks for garbage. There is next to none: at 700 every few calls paid for a look at those
# in flight. What is there from the start is never looked at.
GARBAGE = 10_000

logger = logging.getLogger(__name__)


def run_role(role: Role, settings: Settings, serve: Serve, *, ready_fd: int | None, lifeline_fd: int | None) -> int:
    """Run one process of the cluster until it is told to stop; returns its exit code (0: graceful)."""
    logs.set_up(settings.log_level, settings.log_format, role)
    gc.set_threshold(GARBAGE)
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(role, settings, serve, ready_fd, lifeline_fd))


async def _run(role: Role, settings: Settings, serve: Serve, ready_fd: int | None, lifeline_fd: int | None) -> int:
    stop = StopRequest(settings.drain_timeout)
    stop.listen()
    if lifeline_fd is not None:
        watch_lifeline(lifeline_fd, lambda: stop.request("supervisor_gone"))
    process = RoleProcess(role, settings, serve, stop, ready_fd)
    running = asyncio.create_task(process.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if running.done() and (error := running.exception()) is not None:
        logger.error("action=%s_failed role=%s error=%r", process.phase, role, error, exc_info=_unexpected(error))
        stop.request(f"{process.phase}_failed", EXIT_FAILED)
    await stopping
    await end(running)
    await process.stop()
    return stop.exit_code


def _unexpected(error: BaseException) -> BaseException | None:
    """OSError tells enough by itself (a port in use); anything else deserves its traceback."""
    return None if isinstance(error, OSError) else error


class RoleProcess:
    """A role, the ports it has for itself, and the node of its current incarnation."""

    def __init__(self, role: Role, settings: Settings, serve: Serve, stop: StopRequest, ready_fd: int | None) -> None:
        self._role = role
        self._settings = settings
        self._serve = serve
        self._stop = stop
        self._ready_fd = ready_fd
        self._name = f"{role}-{secrets.token_hex(4)}"
        self._started_ms = int(time.time() * 1000)
        self._incarnation = 0
        self._serving = False  # has served, if only once
        self._node: Node | None = None
        self._service: RoleService | None = None
        self._past = Snapshot()  # counts of the nodes before this one
        self._own: OwnPorts | None = None
        self._own_ports: dict[str, int] = {}
        self._telemetry = Telemetry(settings)
        logs.adjust(self._telemetry.config)
        self._spooling = LogSpooling(self._telemetry)

    @property
    def phase(self) -> str:
        return "run" if self._serving else "start"

    async def run(self) -> None:
        """Serve until cancelled, through as many incarnations as it takes; raises what makes that impossible."""
        metrics = self._telemetry.metrics
        own = OwnPorts(self._settings, self._pages(), {"/drain": self._drain}, Exposition(metrics).text)
        self._own_ports = own.numbers
        node = self._new_node()
        self._own = own
        await own.start()
        await self._telemetry.start()
        metrics.lag.start()
        metrics.of_node(self._tell)
        logger.info("action=node_starting node=%s version=%s ports=%s", node.info.id, __version__, own.numbers)
        await _unless_expelled(node, self._join(node))
        while True:
            await node.membership.until_expelled()
            node = await self._come_back(node)

    async def stop(self) -> None:
        """The way back: tell the cluster, drain the role, leave, close the bus, then its own ports."""
        if self._node is not None:
            await self._node.begin_drain()
        if self._service is not None:
            await self._stop_service(self._service)
        if self._node is not None:
            await self._node.stop()
            logger.info("action=node_stopped node=%s", self._node.info.id)
        self._spooling.close()
        await self._telemetry.stop()
        self._telemetry.metrics.lag.stop()
        if self._own is not None:
            await self._own.stop()

    async def _stop_service(self, service: RoleService) -> None:
        try:
            async with asyncio.timeout(self._stop.grace + STOP_MARGIN):
                await service.stop(self._stop.grace)
        except TimeoutError:
            logger.error("action=service_stop_timed_out role=%s", self._role)
        except Exception:
            logger.exception("action=service_stop_failed role=%s", self._role)

    # -- incarnations

    def _new_node(self, predecessor: str = "") -> Node:
        self._incarnation += 1
        gateway, coordinator = self._role is Role.GATEWAY, self._role is Role.COORDINATOR
        listening = shared_ports(self._settings, gateway=gateway, coordinator=coordinator)
        everything = (admin_port(self._settings), metrics_port(self._settings), *listening)
        ports = dict(self._own_ports)
        if self._serving and self._service is not None:
            ports |= self._service.ports()
        else:  # free ones are only known when they are bound
            ports |= {own.name: own.port for own in listening if own.port}
        info = NodeInfo(
            id=self._name if self._incarnation == 1 else f"{self._name}.{self._incarnation}",
            role=self._role,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_ms=self._started_ms,
            version=__version__,
            ports=ports,
            tls=tuple(own.name for own in everything if own.tls),
        )
        node = self._node = Node(info, self._settings, predecessor, self._telemetry)
        self._telemetry.rename(info.id)
        self._spooling.rename(info.id)
        logs.identify(info.id)
        node.on_drain = lambda grace: self._stop.request("drain", grace=grace)
        return node

    async def _join(self, node: Node) -> None:
        """Node, role, membership, then the role's listeners; the first time, tell the supervisor."""
        node.bus.hold()
        await node.start()
        service = self._service = await (self._service.rejoin(node) if self._service else self._serve(node))
        node.bus.release()
        current = await node.membership.joined()
        logger.info("action=node_joined node=%s term=%d epoch=%d", node.info.id, current.term, current.epoch)
        if self._serving:
            await service.rejoined()
            return
        await service.start()
        self._serving = True
        ports = {**service.ports(), **self._own_ports}
        logger.info("action=node_ready node=%s ports=%s", node.info.id, ports)
        if self._ready_fd is not None:
            report_ready(self._ready_fd, {"id": node.info.id, "role": self._role, "pid": os.getpid(), "ports": ports})

    async def _come_back(self, node: Node) -> Node:
        """Replace a node that was declared dead; tries until a new one is in the map and serves."""
        since = time.monotonic()
        while True:
            # Nobody reads its mail any more, and its lease is not its own.
            await node.stop(linger=False)
            ended = Snapshot()
            numbers.tell(node, None, ended)
            numbers.add_counts(self._past, ended)
            node = self._new_node(predecessor=node.info.id)
            try:
                if await _unless_expelled(node, self._join(node)):
                    logger.info("action=rejoined node=%s after_s=%.1f", node.info.id, time.monotonic() - since)
                    return node
            except Exception:
                logger.exception("action=rejoin_failed node=%s", node.info.id)
                await asyncio.sleep(REJOIN_INTERVAL)

    def _tell(self, snapshot: Snapshot) -> None:
        numbers.tell(self._current, self._service, snapshot)
        numbers.add_counts(snapshot, self._past)

    # -- the admin port

    def _pages(self) -> dict[str, Page]:
        def readyz() -> tuple[int, Any]:
            reasons = status.not_ready(self._current, self._service)
            return (503 if reasons else 200), {
                "node": self._current.info.id,
                "ready": not reasons,
                "reasons": reasons,
            }

        return {
            "/healthz": lambda: (200, {"alive": True}),
            "/readyz": readyz,
            "/cluster": lambda: (200, status.cluster(self._current.membership.map)),
            "/status": lambda: (200, status.status(self._current, self._service)),
        }

    async def _drain(self, body: bytes) -> tuple[int, Any]:
        return await drain(body, self._current, lambda grace: self._stop.request("drain", grace=grace))

    @property
    def _current(self) -> Node:
        assert self._node is not None, "the admin port is opened after the first node is made"
        return self._node


async def _unless_expelled(node: Node, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work`; False when it was given up because `node` was declared dead meanwhile."""
    working = asyncio.create_task(work)
    expelled = asyncio.create_task(node.membership.until_expelled())
    try:
        await asyncio.wait({working, expelled}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        working.result()
        return True
    finally:
        await end(working)
        await end(expelled)
