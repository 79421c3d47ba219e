"""On shards: a consumer for every lane that this shard owns and somebody wants to have served."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import suppress

from msgspec import Struct, structs
from redis.exceptions import RedisError

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

from . import subscribers
from .adapter import Adapter, Consumer, Group, Queue
from .delivery import GroupDelivery, NamedDelivery
from .names import NUDGE_KIND, group_queue, lane_key
from .subscribers import DURABLE, SHARED, Subscription, by_group

SHARE = 0.1  # of the time that looking at all triggers may take
SLOW_TICK = 10.0  # seconds between looks at lanes and groups that nobody told of
ATTEND = 60.0  # seconds after which the broker is told once more that a group has triggers

logger = logging.getLogger(__name__)


class _Lane(Struct):
    consumer: Consumer
    token: int
    queue: Queue


class Consumption:
    """`named`: the queues of the configuration file."""

    def __init__(self, engine: Engine, adapter: Adapter, named: Mapping[str, Queue]) -> None:
        self._engine = engine
        self._adapter = adapter
        self._queues = {queue.id: queue for queue in named.values()}  # and groups of topics, by id
        self._deliver: dict[str, NamedDelivery | GroupDelivery] = {
            queue.id: NamedDelivery(engine, queue) for queue in named.values()
        }
        self._lanes: dict[str, _Lane] = {}
        self._by_key: dict[str, Consumer] = {}  # by nudge key
        self._stopping: dict[str, asyncio.Task[None]] = {}  # by lane
        self._read: dict[str, tuple[Trigger, Subscription | None]] = {}  # by trigger id
        self._groups: set[Group] = set()  # with triggers
        self._ensured: dict[Group, float] = {}  # ours, and when the broker was last told of them
        self._gathering: asyncio.TimerHandle | None = None
        self._look_again = 0.0  # not before then
        self._ended = False
        self._watched = [engine.watch(type, self._triggers_changed) for type in (SHARED, DURABLE)]
        engine.on_nudge(NUDGE_KIND, self._nudged)
        engine.ownership.subscribe(self._owned)
        self._ticker = asyncio.get_running_loop().create_task(self._tick())
        self._look()

    async def stop(self) -> None:
        self._ended = True
        self._ticker.cancel()
        if self._gathering is not None:
            self._gathering.cancel()
        for lane in list(self._lanes):
            self._stop(lane)
        await asyncio.gather(self._ticker, *self._stopping.values(), return_exceptions=True)

    def describe(self) -> dict[str, int]:
        return {"lanes": len(self._lanes)}

    def told_here(self) -> list[Queue]:
        """The queues that this shard tells the numbers of."""
        return [queue for queue in self._queues.values() if self.tells_of(queue)]

    def tells_of(self, queue: Queue) -> bool:
        """Only one shard owns its first lane."""
        return self._engine.ownership.token(lane_key(self._adapter.lanes(queue)[0])) > 0

    def attended(self) -> set[str] | None:
        """Lanes of the groups with triggers; None while it is not known which triggers there are."""
        if not all(watched.known for watched in self._watched):
            return None
        queues = [queue for group in self._groups if (queue := self._queues.get(group_queue(group))) is not None]
        return {lane for queue in queues for lane in self._adapter.lanes(queue)}

    # What happened

    def _nudged(self, key: str) -> None:
        consumer = self._by_key.get(key)
        if consumer is not None:
            consumer.wake()

    def _owned(self) -> None:
        if not self._ended:
            self._reconcile()

    def _triggers_changed(self) -> None:
        if self._gathering is None and not self._ended:
            self._gathering = asyncio.get_running_loop().call_at(self._look_again, self._look)

    async def _tick(self) -> None:
        """Lanes of an earlier configuration; groups whose gateway died before it could tell of them."""
        while True:
            before = set(self._groups)
            await asyncio.sleep(SLOW_TICK)
            try:
                self._reconcile()
                await self._ensure(before & self._groups)
            except Exception:  # nobody else would look after what is lost
                logger.exception("action=queue_look_failed")

    async def _ensure(self, groups: Collection[Group]) -> None:
        now = asyncio.get_running_loop().time()
        before, self._ensured = self._ensured, {}
        for group in groups:
            if not self._owns(self._queues.get(group_queue(group))):
                continue
            self._ensured[group] = before.get(group, -ATTEND)
            if now - self._ensured[group] >= ATTEND:
                with suppress(Unavailable, RedisError, EngineError):
                    await self._adapter.subscribe(group)
                    self._ensured[group] = now

    def _owns(self, queue: Queue | None) -> bool:
        """Whether it is a queue of which some lane is ours."""
        token = self._engine.ownership.token
        return queue is not None and any(token(lane_key(lane)) for lane in self._adapter.lanes(queue))

    # What follows

    def _look(self) -> None:
        """Which groups have triggers now, and how they want to be served."""
        self._gathering = None
        began = asyncio.get_running_loop().time()
        groups = by_group(self._subscriptions())
        self._groups = {queue.group for queue, _triggers in groups.values() if queue.group is not None}
        for id, (queue, triggers) in groups.items():
            self._queues[id] = queue
            deliver = self._deliver.get(id)
            if isinstance(deliver, GroupDelivery):
                deliver.subscribe(triggers)
            else:
                self._deliver[id] = GroupDelivery(self._engine, queue, triggers)
        for id, queue in list(self._queues.items()):
            if queue.group is not None and id not in groups:
                self._pause(id, queue)
        self._reconcile()
        ended = asyncio.get_running_loop().time()
        self._look_again = ended + (ended - began) / SHARE

    def _pause(self, id: str, queue: Queue) -> None:
        """Its jobs wait until somebody is there again; a consumer stays for those under way."""
        if any(lane in self._lanes for lane in self._adapter.lanes(queue)):
            self._queues[id] = structs.replace(queue, concurrency=0)
        else:
            del self._queues[id], self._deliver[id]

    def _subscriptions(self) -> list[Subscription]:
        read, found = {}, []
        for watched in self._watched:
            for trigger in watched.all():
                known = self._read.get(trigger.id)
                if known is None or known[0] is not trigger:
                    known = (trigger, subscribers.read(trigger, self._engine.settings.handler_timeout))
                read[trigger.id] = known
                if known[1] is not None:
                    found.append(known[1])
        self._read = read
        return found

    def _reconcile(self) -> None:
        """Start, stop and configure consumers, as ownership and triggers are now."""
        ownership = self._engine.ownership
        wanted: set[str] = set()
        for queue in list(self._queues.values()):
            for lane in self._adapter.lanes(queue):
                token = ownership.token(lane_key(lane))
                known = self._lanes.get(lane)
                if known is not None and known.token != token:
                    self._stop(lane)
                    known = None
                if not token:
                    continue
                wanted.add(lane)
                if known is None:
                    self._start(lane, queue, token)
                elif known.queue != queue:
                    known.queue = queue
                    known.consumer.configure(queue)
        for lane in self._lanes.keys() - wanted:
            self._stop(lane)

    def _start(self, lane: str, queue: Queue, token: int) -> None:
        if lane in self._stopping or not queue.concurrency:
            return
        consumer = self._adapter.consume(queue, lane, token, self._deliver[queue.id])
        self._lanes[lane] = _Lane(consumer, token, queue)
        self._by_key[lane_key(lane)] = consumer

    def _stop(self, lane: str) -> None:
        consumer = self._lanes.pop(lane).consumer
        del self._by_key[lane_key(lane)]
        task = asyncio.get_running_loop().create_task(consumer.stop())
        self._stopping[lane] = task
        task.add_done_callback(lambda done: self._stopped(lane, done))

    def _stopped(self, lane: str, done: "asyncio.Task[None]") -> None:
        del self._stopping[lane]
        if not done.cancelled() and (error := done.exception()) is not None:
            logger.error("action=consumer_stop_failed lane=%r error=%r", lane, error)
        if not self._ended:
            self._reconcile()  # it may be ours again
