"""The coordinator process: competes for leadership and, while it leads, keeps the map and the workers."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from iii_cluster.bus.envelopes import (
    Cleanup,
    CleanupDone,
    WorkerChanged,
    WorkerDown,
    WorkersAnnounced,
    WorkerUp,
)
from iii_cluster.cluster.election import Election
from iii_cluster.cluster.map import ClusterMap, decode_map, encode_map
from iii_cluster.cluster.membership import REDIS_ERRORS
from iii_cluster.cluster.outage import Outage
from iii_cluster.cluster.scripts import Scripts
from iii_cluster.cluster.tasks import end
from iii_cluster.node.logs import NOT_KEPT
from iii_cluster.node.node import Node
from iii_cluster.protocol.builtin_types import FUNCTIONS_AVAILABLE, WORKERS_AVAILABLE
from iii_cluster.routing.firing import Firing
from iii_cluster.routing.telemetry import CallerTelemetry

from .cleanup import Departure
from .core import MapKeeper
from .events import FunctionsPoll, worker_event
from .ledger import Ledger
from .records import WorkerRecords
from .workers import CHANGED, CONNECTED, DISCONNECTED, WorkerRecord

FIRED = (WORKERS_AVAILABLE, FUNCTIONS_AVAILABLE)
SCANS_PER_INTERVAL = 2  # lease scans per lease interval
FLUSH_TIMEOUT = 1.0  # s a leader that stops waits until its records are written

if TYPE_CHECKING:  # it takes a while to import, and may be off
    from .console.console import Console

logger = logging.getLogger(__name__)


async def serve(node: Node, console: "Console | None" = None) -> "CoordinatorService":
    """Starts competing at once: the first leader puts itself into the map. `console` is that of the process, if it
    has served before."""
    if console is None and node.settings.console == "on":
        from .console.console import Console

        console = Console(node)
    service = CoordinatorService(node, console)
    service.compete()
    return service


class CoordinatorService:
    """One coordinator: wires its ledger of workers and its map to the bus, Redis and the election.

    It acts in the term it leads in. A process that was stopped for a while goes on with mail, timers and answers that
    were meant for its former self, so whether that term is still its own is asked right before anything is done.
    """

    def __init__(self, node: Node, console: "Console | None" = None) -> None:
        settings = node.settings
        self._node = node
        self._console = console
        self._id = node.info.id
        self._scan_interval = settings.lease_interval / SCANS_PER_INTERVAL
        self._command_timeout = settings.lease_ttl / 2
        self._scripts = Scripts(node.redis, node.keys)
        self._keeper = MapKeeper(self._id, settings.lease_ttl, settings.lease_interval)
        self._election = Election(self._scripts, self._id, settings, lambda: node.membership.map.term)
        self._ledger = Ledger(self, lambda: self._election.term)
        self._records = WorkerRecords(node.redis, node.keys, lambda: self._ledger.term, self._on_stored)
        self._cleanup_timer: asyncio.TimerHandle | None = None
        self._cleanup_deadline: float | None = None  # that the timer is set for
        telemetry = CallerTelemetry(node.telemetry.tracer, node.telemetry.metrics.functions)
        self._firing = Firing(node.bus, node.membership, telemetry)
        self.functions_poll = FunctionsPoll(
            self._firing, node.asker, node.membership, node.redis, node.keys, lambda: self._ledger.term
        )
        self._server = ""  # the Redis that was scanned last
        self._outage = Outage(logger, "leading")
        self._lead_task: asyncio.Task[None] | None = None
        self._poll_task: asyncio.Task[None] | None = None
        self._election.on_contact = self._keeper.reachability.contact
        self._election.on_elected = self._on_elected
        self._election.on_deposed = self._on_deposed
        self._firing.on_sent = self._ledger.told
        self._subscribe()
        if console is not None:
            console.attach(node, self._firing)

    def _subscribe(self) -> None:
        bus, workers = self._node.bus, self._ledger.workers
        bus.on(WorkerUp, lambda node, up: self._heard(node, lambda: workers.up(node, up.conn, up.worker, up.again)))
        bus.on(WorkerChanged, lambda node, changed: self._heard(node, lambda: workers.changed(changed.worker)))
        bus.on(
            WorkerDown,
            lambda node, down: self._heard(node, lambda: workers.down(node, down.conn, down.worker, down.back)),
        )
        bus.on(WorkersAnnounced, self._on_announced)
        bus.on(CleanupDone, self._on_cleanup_done)
        bus.on_reset = self._on_reset
        self._node.membership.subscribe(self._on_map)

    # -- RoleService

    def compete(self) -> None:
        for trigger_type in FIRED:
            self._firing.watch(trigger_type)
        self._election.start()

    async def start(self) -> None:
        if self._console is not None:
            await self._console.start()
        await self.rejoined()

    async def rejoined(self) -> None:
        self._poll_task = asyncio.create_task(self.functions_poll.run(), name="functions-poll")

    async def stop(self, grace: float) -> None:
        """Give leadership up: the next leader goes on with what the records say."""
        await self._resign(grace)
        if self._console is not None:
            await self._console.stop()

    async def _resign(self, grace: float) -> None:
        if self._poll_task is not None:
            await end(self._poll_task)
        if self._ledger.term:
            await self._records.flush(min(FLUSH_TIMEOUT, grace))
        await self._election.stop()
        self._abandon()

    async def rejoin(self, node: Node) -> "CoordinatorService":
        await self._resign(0)
        await self._node.redis.aclose()  # asked once more to give up a lease it may have thought its own
        return await serve(node, self._console)

    def ready(self) -> bool:
        return self._poll_task is not None

    def ports(self) -> dict[str, int]:
        return {} if self._console is None else {"console": self._console.port}

    def describe(self) -> dict[str, Any]:
        return {
            "leading": self._ledger.term != 0,
            "term": self._election.term,
            "workers": len(self._ledger.workers),
            "cleaning": len(self._ledger.cleanup),
            "triggers": sum(len(self._firing.triggers(type)) for type in FIRED),
            **({} if self._console is None else {"console": self._console.describe()}),
        }

    # -- leadership

    def _on_elected(self, term: int) -> None:
        self._lead_task = asyncio.create_task(self._lead(term), name="lead")

    def _on_deposed(self) -> None:
        self._ledger.depose()
        if self._lead_task is not None:
            self._lead_task.cancel()
            self._lead_task = None

    async def _lead(self, term: int) -> None:
        taken_over = False
        while self._election.term == term:
            try:
                if not taken_over:
                    await self._take_over(term)
                    taken_over = True
                self._firing.expire(time.monotonic())
                async with asyncio.timeout(self._command_timeout):
                    await self._keep_map(term)
                self._outage.worked(time.monotonic())
            except REDIS_ERRORS as error:
                self._keeper.reachability.contact(time.monotonic(), None)
                self._outage.failed(time.monotonic(), error)
            except Exception:
                # Leading goes on: the next round starts from what is stored.
                logger.exception("action=leading_failed term=%d", term)
                taken_over = False
            await asyncio.sleep(self._scan_interval)

    async def _take_over(self, term: int) -> None:
        """Start from the stored map and, unless this node led last, from the stored worker records."""
        await self._reload_map(term)
        # If nobody else has led since, what this node knows is newer: Redis may have lost its memory.
        led_last = self._ledger.loaded and self._keeper.current.leader == self._id
        records = None if led_last else await self._records.load()
        if self._election.term != term:
            return
        if records is not None:
            self._abandon()
        self._ledger.take_over(term, records, self._keeper.current.epoch)

    async def _reload_map(self, term: int) -> None:
        body = await self._scripts.read_map()
        stored = decode_map(body) if body else ClusterMap()
        known = self._node.membership.map
        if stored.version < known.version:
            await self._scripts.restore_map(known)
            stored = known
        self._keeper.lead(term, stored, await self._scripts.clock())

    async def _keep_map(self, term: int) -> None:
        """One scan and what follows from it."""
        keeper = self._keeper
        scan = await self._scripts.scan_leases(term, keeper.current.nodes, self._node.membership.departed)
        now = time.monotonic()
        keeper.reachability.contact(now, scan.server)
        if not scan.current or self._election.term != term:
            return
        if self._server and scan.server != self._server:
            self._ledger.workers.restore()
        self._server = scan.server
        plan = keeper.plan(scan, now)
        if plan.map is not None:
            if not await self._scripts.write_map(plan.map, keeper.current.epoch):
                logger.warning("action=map_refused term=%d epoch=%d", plan.map.term, plan.map.epoch)
                await self._reload_map(term)
                return
            _log_change(keeper.current, plan.map)
            keeper.written(plan.map)
            self._node.bus.publish_map(encode_map(plan.map))
            self._node.membership.take(plan.map)
        self._ledger.resume(term, self._node.membership.map, time.monotonic())
        self._set_cleanup_timer()
        if plan.remove and self._election.term == term:
            await self._scripts.remove_leases(plan.remove, term)

    def _abandon(self) -> None:
        """Forget the workers: another leader knows better."""
        self._ledger.abandon()
        self._records.discard()
        self._set_cleanup_timer()

    # -- what others tell

    def _heard(self, node: str, act: Callable[[], None]) -> None:
        def act_for_member() -> None:
            if node in self._node.membership.map.nodes:
                act()

        self._ledger.heard(act_for_member, time.monotonic())
        self._set_cleanup_timer()

    def _on_announced(self, node: str, said: WorkersAnnounced) -> None:
        if node in self._node.membership.map.nodes:
            self._ledger.announced(node, said.epoch, time.monotonic())
            self._set_cleanup_timer()

    def _on_map(self, _old: ClusterMap, new: ClusterMap) -> None:
        if new.leader != self._id:
            if new.term > self._ledger.loaded > 0:
                self._abandon()
        else:
            self._ledger.map_changed(new, time.monotonic())
            self._set_cleanup_timer()

    def _on_cleanup_done(self, node: str, done: CleanupDone) -> None:
        self._ledger.cleanup_done(node, done, time.monotonic())
        self._set_cleanup_timer()

    def _on_reset(self, node: str) -> None:
        self._firing.on_reset(node)
        self._node.asker.node_lost(node)
        self._ledger.link_reset(node, time.monotonic())
        self._set_cleanup_timer()

    def _on_stored(self, records: Mapping[str, WorkerRecord]) -> None:
        self._ledger.heard(lambda: self._ledger.workers.stored(records), time.monotonic())
        self._set_cleanup_timer()

    # -- effects of the ledger

    def send(self, node: str, envelope: Cleanup) -> None:
        self._node.bus.send(node, envelope)

    def finished(self, departures: list[Departure]) -> None:
        logger.info("action=cleaned_up connections=%d", len(departures), extra=NOT_KEPT)

    def overdue(self, step: str, nodes: Collection[str]) -> None:
        logger.warning("action=cleanup_overdue step=%s nodes=%s", step, ",".join(nodes))

    def store(self, worker: str, record: WorkerRecord) -> None:
        self._records.store(worker, record)

    def erase(self, worker: str) -> None:
        self._records.erase(worker)

    def fire(self, event: str, worker: str, once: str) -> bool:
        level = logging.DEBUG if event == CHANGED else logging.INFO
        logger.log(level, "action=%s worker=%s", event, worker, extra=NOT_KEPT)
        self._count(event)
        self._firing.fire(WORKERS_AVAILABLE, worker_event(event, worker), once)
        return self._firing.all_sent

    def _count(self, event: str) -> None:
        metrics = self._node.telemetry.metrics
        metrics.worker_spawns += event == CONNECTED
        metrics.worker_deaths += event == DISCONNECTED

    def _set_cleanup_timer(self) -> None:
        """Have the ledger called when the running step of the clean-up is overdue."""
        deadline = self._ledger.cleanup.deadline
        if deadline == self._cleanup_deadline:
            return
        self._cleanup_deadline = deadline
        if self._cleanup_timer is not None:
            self._cleanup_timer.cancel()
            self._cleanup_timer = None
        if deadline is not None:
            delay = max(0.0, deadline - time.monotonic())
            self._cleanup_timer = asyncio.get_running_loop().call_later(delay, self._on_cleanup_timer)

    def _on_cleanup_timer(self) -> None:
        self._cleanup_deadline = None  # a timer may be early: then it is set once more
        self._ledger.expire(time.monotonic())
        self._set_cleanup_timer()


def _log_change(old: ClusterMap, new: ClusterMap) -> None:
    logger.info(
        "action=map_written term=%d epoch=%d joined=%s removed=%s",
        new.term,
        new.epoch,
        ",".join(sorted(new.nodes.keys() - old.nodes.keys())) or "-",
        ",".join(sorted(old.nodes.keys() - new.nodes.keys())) or "-",
    )
