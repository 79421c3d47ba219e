"""Serves one queue, on the shard that owns it.

The broker lets one consumer in at a time: a successor waits until its predecessor's channel is closed, or its
connection silent for two heartbeats. What the predecessor had taken then comes again, in the same order and under the
same names of deliveries, so that nothing is handled twice at once.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from iii_cluster.cluster.outage import Outage
from iii_cluster.modules.queue.adapter import Dead, Deliver, Delivery, Queue, function_of
from iii_cluster.modules.queue.names import delivery_name
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

from . import messages
from .connection import LOST, REFUSED, RETRY_DELAY, Broker, answered
from .names import names_of
from .publisher import Publisher
from .schedule import Schedule
from .topology import Topology

MAX_PREFETCH = 65_535
LOOK = 5.0  # seconds between looks at whether the queue was deleted

logger = logging.getLogger(__name__)


class _Taken:
    """A message that is not acknowledged yet."""

    __slots__ = ("delivery", "error", "message", "timer", "tried")

    def __init__(self, message: AbstractIncomingMessage) -> None:
        self.message = message
        self.tried = messages.read(messages.IncomingMessage(message.body, message.message_id, message.headers))
        self.delivery: Delivery | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.error = b""  # of its last attempt


class RabbitConsumer:
    """`owns`: whether this shard still owns the lane. `attempts`: how often a job is tried."""

    def __init__(
        self,
        lane: str,
        queue: Queue,
        deliver: Deliver,
        *,
        broker: Broker,
        topology: Topology,
        publisher: Publisher,
        owns: Callable[[], bool],
        attempts: Callable[[Queue], int],
        ahead: int,
    ) -> None:
        self._lane = lane
        self._queue = queue
        self._names = names_of(queue)
        self._deliver = deliver
        self._broker = broker
        self._topology = topology
        self._publisher = publisher
        self._owns = owns
        self._attempts = attempts
        self._ahead = ahead  # messages taken from a fifo queue, so that a group that waits does not block others
        self._schedule = Schedule(queue.concurrency)
        self._taken: dict[int, _Taken] = {}
        self._ended: list[int] = []  # to be settled with the broker
        self._settle = asyncio.Event()
        self._anew = asyncio.Event()
        self._outage = Outage(logger, "consume")
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """The broker sends new messages by itself."""
        self._start()

    def configure(self, queue: Queue) -> None:
        before, self._queue = self._queue, queue
        if before != queue:
            self._anew.set()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                async with self._broker.channel() as channel:
                    await self._serve(channel)
            except REFUSED as error:  # the predecessor is still there
                self._outage.failed(time.monotonic(), error)
            except (Unavailable, EngineError, *LOST) as error:
                self._outage.failed(time.monotonic(), error)
                self._topology.forget()
            except Exception:
                logger.exception("action=lane_failed lane=%r", self._lane)
                self._topology.forget()
            finally:
                self._forget()
            await asyncio.sleep(RETRY_DELAY)

    async def _serve(self, channel: AbstractChannel) -> None:
        """Raises when the channel is lost. Returns when it is better to begin anew."""
        lost = asyncio.Event()
        channel.close_callbacks.add(lambda *_: lost.set())
        source = await answered(channel.get_queue(self._names.queue, ensure=False))
        settling = asyncio.ensure_future(self._settle_all())
        fifo, tag = self._queue.fifo, ""
        try:
            while self._queue.fifo == fifo:
                self._anew.clear()
                tag = await self._take(channel, source, tag)
                self._outage.worked(time.monotonic())
                self._start()
                await self._until_changed(channel, settling, lost, tag)
        finally:
            settling.cancel()
            await asyncio.wait([settling])

    async def _take(self, channel: AbstractChannel, source: AbstractQueue, before: str) -> str:
        """Have messages sent as the settings are now. What was sent before stays here."""
        queue = self._queue
        await self._topology.for_consumer(queue)
        if before:
            await answered(source.cancel(before))
        self._schedule.concurrency = queue.concurrency
        if not queue.concurrency:
            return ""
        ahead = self._ahead if queue.fifo else 0
        await answered(channel.set_qos(prefetch_count=min(queue.concurrency + ahead, MAX_PREFETCH)))
        return await answered(source.consume(partial(self._arrived, queue.fifo), exclusive=True))

    async def _until_changed(
        self, channel: AbstractChannel, settling: "asyncio.Future[None]", lost: asyncio.Event, tag: str
    ) -> None:
        """Until there are new settings. Raises when no more messages will come."""
        underlay: Any = await answered(channel.get_underlay_channel())
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait()) for event in (self._anew, lost)]
        try:
            while not self._anew.is_set():
                await asyncio.wait([*waiting, settling], timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
                if settling.done():
                    settling.result()
                if lost.is_set() or (tag and tag not in underlay.consumers):
                    raise ConnectionError("the channel was closed, or the queue deleted")
        finally:
            for each in waiting:
                each.cancel()

    async def _arrived(self, fifo: bool, message: AbstractIncomingMessage) -> None:
        if message.delivery_tag is None:
            return
        taken = self._taken[message.delivery_tag] = _Taken(message)
        self._schedule.take(message.delivery_tag, taken.tried.job.group if fifo else None)
        self._start()

    def _start(self) -> None:
        if not self._owns():
            return
        for tag in self._schedule.start():
            taken = self._taken[tag]
            tried = taken.tried
            name = delivery_name(self._lane, tried.job.id, f"{tried.redriven}.{tried.failures + 1}")
            taken.delivery = self._deliver(tried.job, name, partial(self._end, tag))

    def _end(self, tag: int, error: bytes) -> None:
        taken = self._taken[tag]
        taken.delivery = None
        taken.error = error
        if error:
            tried = taken.tried
            taken.tried = tried._replace(failures=tried.failures + 1)
            if self._queue.fifo and taken.tried.failures < self._attempts(self._queue):
                self._schedule.hold(tag)
                loop = asyncio.get_running_loop()
                taken.timer = loop.call_later(self._queue.backoff_ms / 1000, self._again, tag)
                self._start()
                return
        self._ended.append(tag)
        self._settle.set()

    def _again(self, tag: int) -> None:
        self._schedule.again(tag)
        self._start()

    async def _settle_all(self) -> None:
        while True:
            await self._settle.wait()
            self._settle.clear()
            ended, self._ended = self._ended, []
            failed = [taken for tag in ended if (taken := self._taken[tag]).error]
            await asyncio.gather(*(self._move(taken) for taken in failed))
            for tag in ended:
                await answered(self._taken.pop(tag).message.ack())
                self._schedule.end(tag)
            self._start()

    async def _move(self, taken: _Taken) -> None:
        """A failed job goes where it waits for its next attempt, or to the dead ones."""
        tried, priority = taken.tried, taken.message.priority
        queue, names = self._queue, self._names
        total = self._attempts(queue)
        topic = queue.group is not None
        if tried.failures < total:
            message = messages.message_of(tried, topic=topic, total=total, priority=priority, ttl_ms=queue.backoff_ms)
            exchange, key = names.retry_exchange, names.retry_key
        else:
            dead = Dead(tried.job, taken.error, messages.now_ms(), tried.failures)
            message = messages.message_of(tried, topic=topic, total=total, priority=priority, dead=dead)
            exchange, key = names.dead_exchange, names.dead_key
            line = "action=job_dead queue=%r job=%s function=%r code=%r attempts=%d"
            who = function_of(queue, tried.job), errors.code(taken.error)
            logger.info(line, queue.name, tried.job.id, *who, tried.failures)
        if not await self._publisher.send(exchange, key, message):
            raise ConnectionError(f"{exchange or key} is not there any more")

    def _forget(self) -> None:
        for taken in self._taken.values():
            if taken.delivery is not None:
                taken.delivery.forget()
            if taken.timer is not None:
                taken.timer.cancel()
        self._taken.clear()
        self._ended.clear()
        self._schedule = Schedule(self._queue.concurrency)
