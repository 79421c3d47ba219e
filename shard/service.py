"""The shard process: feeds the core with mail and maps, reads durable triggers, answers questions, runs the modules.

Mail is handled synchronously, in the order it arrives. The lock is for what takes several turns of the loop:
a hand-over (adopting a map and reading the durable triggers of the slots it brought) writes, so that no second
map slips in between; answers to questions read, so that a listing never mixes the slots of two maps.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from aiorwlock import RWLock

from iii_cluster.bus.ask import AskError
from iii_cluster.bus.envelopes import Announced, Cleanup, DropFunction, DropTrigger, Envelope, Trigger, UnbindTrigger
from iii_cluster.cluster.durable import RETRY_DELAY, DurableTriggers
from iii_cluster.cluster.map import ClusterMap, Role
from iii_cluster.cluster.membership import REDIS_ERRORS
from iii_cluster.cluster.outage import Outage
from iii_cluster.cluster.slots import slot_of
from iii_cluster.cluster.tasks import end
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.load import load_modules
from iii_cluster.node.node import Node
from iii_cluster.protocol.builtin_types import BUILTIN_TRIGGER_TYPES

from .core import ShardCore
from .engine import ShardEngine
from .questions import Questions, Row

ROWS_PER_TURN = 500  # rows of a listing made before other work gets a turn
SETTLE_DELAY = 0.02  # seconds that removals have to gather before refused triggers are offered again
LOOKUP_LIMIT = 10.0  # seconds a question is held at most, whatever its asker's patience
OUTCOME_LIMIT = 15.0  # seconds a provider's answer is waited for, longer than anybody asks
CLOSE_TIMEOUT = 1.0  # seconds storage has to forget what it is to forget when the process ends

logger = logging.getLogger(__name__)


async def serve(node: Node) -> "ShardService":
    return ShardService(node, ModuleHost(load_modules(node.settings.modules)))


class ShardService:
    """Is its core's `Effects`. The modules of `host` outlive incarnations of the node."""

    def __init__(self, node: Node, host: ModuleHost) -> None:
        self._node = node
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._durable = DurableTriggers(node.redis, node.keys)
        self._core = ShardCore(
            node.info.id,
            self,
            duplicates=node.settings.duplicate_functions,
            builtin_types=BUILTIN_TRIGGER_TYPES | {type.id for type in host.types.values()},
            barrier=node.settings.barrier,
            reattach_window=node.settings.reattach_window,
            module_types=host.types,
        )
        self._questions = Questions(self._core)
        self._lock = RWLock()
        self._news = asyncio.Event()
        self._adopted = asyncio.Event()
        self._moved = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None  # that the timer is set for
        self._tasks: set[asyncio.Task[None]] = set()
        self._forgetting: dict[str, Trigger] = {}  # durable ones, still in storage
        self._outage = Outage(logger, "durable_load")
        self._answer_questions()
        losses = dict.fromkeys((DropFunction, DropTrigger, UnbindTrigger, Cleanup), self._on_loss)
        special = {Announced: self._on_announced, **losses}
        for kind in self._core.handlers:
            node.bus.on(kind, special.get(kind, self._on_mail))
        node.bus.on_reset = self._on_reset
        self._engine = ShardEngine(node, host.functions)
        self._modules_run = False
        node.membership.subscribe(self._on_map)
        self._hand_overs = asyncio.create_task(self._keep_handing_over(), name="hand-over")
        self._news.set()

    # -- life

    async def start(self) -> None:
        """Returns when the first map is adopted, from when on lookups are answered or held, and the modules have begun.
        Raises ModuleFailed."""
        await self._adopted.wait()
        await self._host.initialize(self._engine)
        self._modules_run = True

    async def stop(self, grace: float) -> None:
        """Give the slots away, of which the modules are told, within `grace` seconds. Then end the modules and stop
        following the map. Mail is handled, and held lookups are released, until the bus closes."""
        try:
            async with asyncio.timeout(grace):
                await self._handed_over()
        except TimeoutError:
            logger.warning("action=slots_kept count=%d", len(self._core.slots.owned()))
        await self._close()

    async def rejoin(self, node: Node) -> "ShardService":
        """Nothing here counts any more but what storage is still to forget."""
        await self._close()
        successor = ShardService(node, self._host)
        for trigger in self._forgetting.values():
            successor.forget_durable(trigger)
        return successor

    async def _close(self) -> None:
        self._modules_run = False
        await self._host.shutdown()
        await self._engine.close()
        await end(self._hand_overs)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT)
        for task in list(self._tasks):
            await end(task)
        if self._timer is not None:
            self._timer.cancel()

    async def _handed_over(self) -> None:
        """Returns when others own the slots and nobody sends mail for them any more, or when nobody can take them."""
        while True:
            current = self._node.membership.map
            if _alone(self._node.info.id, current):
                return
            if self._core.map.version == current.version and not self._core.slots.owned():
                break
            await self._progress()
        given_away = self._core.map.epoch
        logger.info("action=slots_given_away epoch=%d", given_away)
        # A gateway that said it is done with a map has sent before what it sent under former ones.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._node.settings.barrier):
                while not self._core.slots.heard_of(given_away):
                    await self._progress()

    async def _progress(self) -> None:
        """Returns after the next map was adopted, or the next gateway has announced."""
        self._moved.clear()
        await self._moved.wait()

    async def rejoined(self) -> None:
        await self.start()

    def ready(self) -> bool:
        return self._modules_run and not self._hand_overs.done()

    def ports(self) -> dict[str, int]:
        return {}

    def describe(self) -> dict[str, Any]:
        core = self._core
        return {
            "slots": len(core.slots.owned()),
            "slots_filling": core.slots.filling(),
            "functions": core.functions.digest(core.slots.owned())[0],
            "triggers": len(core.triggers),
            "bindings": len(core.bindings),
            "watched_keys": len(core.watching.watches),
            "held": len(core.holds),
            "expected": len(core.watching.expected),
            "calls": self._engine.calls,
            "modules": self._host.describe(),
        }

    # -- effects of the core

    def send(self, node: str, envelope: Envelope) -> None:
        self._node.bus.send(node, envelope)

    def forget_durable(self, trigger: Trigger) -> None:
        self._forgetting[trigger.id] = trigger
        self._spawn(self._forget_durable(trigger))

    def settle_soon(self) -> None:
        self._loop.call_later(SETTLE_DELAY, self._core.settle)

    async def _forget_durable(self, trigger: Trigger) -> None:
        # In this order: the type's shard may be reading storage right now.
        await self._durable.forget(trigger.id)
        self._forgetting.pop(trigger.id, None)
        self._core.durable_forgotten(trigger)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- mail and maps

    def _on_mail(self, src: str, envelope: Envelope) -> None:
        self._core.handle(src, envelope, self._loop.time())

    def _on_announced(self, src: str, announced: Envelope) -> None:
        self._on_mail(src, announced)
        self._after_fill()
        self._moved.set()

    def _on_loss(self, src: str, envelope: Envelope) -> None:
        """Whoever is lost may be expected back for a while."""
        self._on_mail(src, envelope)
        self._set_timer()

    def _on_reset(self, node: str) -> None:
        self._node.asker.node_lost(node)
        self._engine.on_reset(node)
        self._core.link_reset(node, self._loop.time())
        self._after_fill()

    def _on_map(self, _old: ClusterMap, _new: ClusterMap) -> None:
        self._news.set()

    async def _keep_handing_over(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RETRY_DELAY if self._core.slots.loadable() else None):
                    await self._news.wait()
            except TimeoutError:
                pass  # storage was not to be read last time
            self._news.clear()
            try:
                async with self._lock.writer:
                    await self._hand_over(self._node.membership.map)
            except Exception:
                # A shard that is deaf to further maps would be worse than one map taken in part.
                logger.exception("action=hand_over_failed")

    async def _hand_over(self, new: ClusterMap) -> None:
        """Adopt the map, then complete the slots it brought with what storage holds."""
        if new.epoch:
            self._core.apply_map(new, self._loop.time())
            self._set_timer()
            self._adopted.set()
            self._moved.set()
        slots = self._core.slots.loadable()
        if not slots:
            return
        try:
            async with asyncio.timeout(self._node.settings.barrier):
                stored = await self._durable.load()
        except REDIS_ERRORS as error:
            self._outage.failed(time.monotonic(), error)
            return
        self._outage.worked(time.monotonic())
        if self._news.is_set():
            return  # something happened while storage was read: what was read may be too old by now
        self._core.durable_loaded(slots, stored)
        self._set_timer()
        if stored:
            line = "action=durable_triggers_read slots=%d triggers=%d epoch=%d"
            logger.info(line, len(slots), len(stored), new.epoch)

    def _after_fill(self) -> None:
        if self._core.slots.loadable():
            self._news.set()
        self._set_timer()

    def _set_timer(self) -> None:
        """Have the core called when a barrier passes or nobody is expected back any longer."""
        deadline = self._core.deadline()
        if deadline == self._deadline:
            return
        self._deadline = deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._on_time)

    def _on_time(self) -> None:
        self._deadline = None
        before = self._core.slots.filling()
        self._core.tick(self._loop.time())
        if filled := before - self._core.slots.filling():
            logger.warning("action=barrier_passed slots=%d", filled)
        self._after_fill()

    # -- questions

    def _answer_questions(self) -> None:
        ask, rows = self._node.asker, self._questions
        ask.answer("functions.list", lambda _src, _body: self._listing(rows.functions))
        ask.answer("types.list", lambda _src, _body: self._listing(rows.types))
        ask.answer("triggers.list", lambda _src, _body: self._listing(rows.triggers))
        ask.answer("services.list", lambda _src, _body: self._listing(rows.services))
        ask.answer("functions.get", lambda _src, body: self._by_id(body, rows.function))
        ask.answer("types.get", lambda _src, body: self._by_id(body, rows.type))
        ask.answer("triggers.get", lambda _src, body: self._by_id(body, rows.trigger))
        ask.answer("triggers.of_function", lambda _src, body: self._of_function(body))
        ask.answer("bindings.outcome", lambda _src, body: self._outcome(body))
        ask.answer("registry.digest", lambda _src, _body: rows.digest())

    async def _listing(self, rows_of: Callable[[int], list[Row]]) -> list[Row]:
        rows: list[Row] = []
        pause_at = ROWS_PER_TURN
        async with self._lock.reader:
            for slot in self._core.slots.owned():
                rows += rows_of(slot)
                if len(rows) >= pause_at:
                    pause_at = len(rows) + ROWS_PER_TURN
                    await asyncio.sleep(0)
        return rows

    async def _by_id(self, body: dict[str, Any], rows_of: Callable[[str], list[Row]]) -> list[Row]:
        slot = slot_of(body["id"])
        await self._filled(slot, body.get("epoch", 0))
        async with self._lock.reader:
            if not self._core.slots.owns(slot):
                raise AskError("moved")
            return rows_of(body["id"])

    async def _of_function(self, body: dict[str, Any]) -> list[Row]:
        async with self._lock.reader:
            return self._questions.triggers_of_function(body["namespace"], body["function"])

    async def _outcome(self, body: dict[str, Any]) -> bytes:
        """What the provider answered to the offer of a trigger: an error, or nothing."""
        await self._filled(slot_of(body["type"]), body.get("epoch", 0))
        answer: asyncio.Future[bytes] = self._loop.create_future()

        def done(error: bytes) -> None:
            if not answer.done():
                answer.set_result(error)

        bindings = self._core.bindings
        bindings.offers.outcome(bindings.find(body["id"]), done)
        try:
            async with asyncio.timeout(OUTCOME_LIMIT):
                return await answer
        finally:
            bindings.offers.outcomes.ignore(body["id"], done)

    async def _filled(self, slot: int, epoch: int) -> None:
        """Returns when the slot can be asked; raises AskError("moved") if that is not here.

        Outside of the lock: it is a hand-over that fills the slot.
        """
        here: asyncio.Future[bool] = self._loop.create_future()

        def done(filled: bool) -> None:
            if not here.done():
                here.set_result(filled)

        self._core.lookup(slot, epoch, done)
        async with asyncio.timeout(LOOKUP_LIMIT):
            if not await here:
                raise AskError("moved")


def _alone(me: str, current: ClusterMap) -> bool:
    """Whether no other shard could take the slots of `me`."""
    others = [node for node in current.of_role(Role.SHARD) if node != me and not current.nodes[node].draining]
    return me not in current.nodes or not others
