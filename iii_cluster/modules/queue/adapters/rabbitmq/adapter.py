"""The adapter `rabbitmq`."""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from aio_pika import Message
from msgspec import Meta, Struct

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.queue.adapter import Dead, Deliver, Group, Job, Of, Queue, Stats
from iii_cluster.modules.queue.names import lane_key
from iii_cluster.redis.commands import Unavailable

from . import messages
from .connection import Broker, answered, persistently
from .consumer import RabbitConsumer
from .dead import DeadJobs
from .messages import Tried
from .names import Names, backlog, names_of, names_of_group, topic_exchange
from .publisher import Publisher
from .retention import GroupRetention
from .topics import Topics
from .topology import Topology
from .walk import count, purge, walk

DEFAULT_RETRIES = 3  # of a named queue
MAX_PRIORITY = 255

T = TypeVar("T")
logger = logging.getLogger(__name__)


class RabbitMQConfig(Struct, frozen=True, forbid_unknown_fields=True):
    amqp_url: str = "amqp://localhost:5672"
    max_attempts: Annotated[int, Meta(ge=1)] = 3  # at a topic's message, unless its subscriber says otherwise
    prefetch_count: Annotated[int, Meta(ge=1)] | None = None  # without effect: a queue's concurrency counts
    queue_mode: Literal["standard", "fifo"] | None = None  # without effect: every subscriber has its own
    priority_field: str | None = None  # of a topic's messages: an integer
    fifo_lookahead: Annotated[int, Meta(ge=0, le=60_000)] = 200  # messages taken beyond the concurrency


class RabbitMQAdapter:
    Config: ClassVar[Any] = RabbitMQConfig
    broker_type: ClassVar[str] = "rabbitmq"

    def __init__(self, config: RabbitMQConfig, engine: Engine) -> None:
        self._config = config
        self._engine = engine
        self._patience = patience = engine.settings.redis_outage_limit
        self._in = Broker(config.amqp_url, engine.node, "in", patience)  # the broker slows down who puts too much in,
        self._out = Broker(config.amqp_url, engine.node, "out", patience)  # which must not slow down acknowledgements
        self._topology = Topology(self._in)
        self._publisher = Publisher(self._in, patience)
        self._topics = Topics(engine)
        self._retention = GroupRetention(self._in, self._topics, self._topology, patience)
        self._dead = DeadJobs(self._in, self._publisher, patience)

    async def start(self) -> None:
        for key in ("prefetch_count", "queue_mode"):
            if getattr(self._config, key) is not None:
                logger.info("action=config_without_effect key=%s", key)
        try:
            await self._in.connection()
        except Unavailable as error:
            logger.warning("action=rabbitmq_away error=%r", str(error))  # state, streams and cron work without it

    async def stop(self) -> None:
        await self._in.close()
        await self._out.close()

    # Putting in

    async def enqueue(self, queue: Queue, job: Job, delay_ms: int = 0) -> None:
        priority = messages.priority_of(job.data, queue.priority_field, queue.max_priority)
        message = messages.message_of(Tried(job), topic=False, priority=priority)
        names = names_of(queue)

        async def put() -> None:
            await self._topology.for_jobs(queue)
            while not await self._send(names, message, delay_ms):
                self._topology.forget(names.queue)
                await self._topology.for_jobs(queue)

        await self._persistently(put)

    async def publish(self, topic: str, job: Job, live: Collection[Group], delay_ms: int = 0) -> None:
        priority = messages.priority_of(job.data, self._config.priority_field, MAX_PRIORITY)
        message = messages.message_of(Tried(job), topic=True, total=self._config.max_attempts, priority=priority)

        async def put() -> None:
            await self._topology.for_topic(topic)
            if delay_ms:
                groups = await self._topics.groups(topic, live=True)
                all_sent = [await self._send(names_of_group(group), message, delay_ms) for group in groups]
                if any(all_sent):
                    return
            elif await self._publisher.send(topic_exchange(topic), "", message):
                return
            else:
                self._topology.forget(topic_exchange(topic))
            await self._keep(topic, message, delay_ms)

        await self._persistently(put)

    async def subscribe(self, group: Group) -> None:
        async def change() -> None:
            await self._topics.subscribed(group, True)
            await self._topology.for_topic(group.topic)
            self._topology.forget(names_of_group(group).queue)  # it may have ended for want of triggers
            await self._topology.for_group(group)
            await self._topology.bind(group)
            await self._hand_over(group)

        await self._persistently(change)

    async def unsubscribe(self, group: Group) -> None:
        async def change() -> None:
            await self._topics.subscribed(group, False)
            await self._topology.for_topic(group.topic)
            await self._topology.for_group(group)
            await self._topology.bind(group, False)

        await self._persistently(change)

    async def _send(self, names: Names, message: Message, delay_ms: int) -> bool:
        if not delay_ms:
            return await self._publisher.send(names.exchange, names.key, message)
        return await self._publisher.send("", await self._topology.for_delay(names, _coarse(delay_ms)), message)

    async def _keep(self, topic: str, message: Message, delay_ms: int) -> None:
        """For the first group to come. One that came meanwhile may have looked before the message was there."""
        await self._topics.kept(topic)
        names = await self._topology.for_backlog(topic)
        while not await self._send(names, message, delay_ms):
            self._topology.forget(names.queue)
            await self._topology.for_backlog(topic)
        if groups := await self._topics.groups(topic, live=True):
            await self._hand_over(groups[0])

    async def _hand_over(self, group: Group) -> None:
        names = names_of_group(group)
        async with walk(self._in, backlog(group.topic).queue, self._patience, taking=True) as found:
            async for message in found:
                tried = messages.read(messages.IncomingMessage(message.body, message.message_id, message.headers))
                kept = messages.message_of(tried, topic=True, priority=message.priority)
                if not await self._publisher.send(names.exchange, names.key, kept):
                    raise ConnectionError(f"{names.queue} is not there any more")
                await answered(message.ack())

    # Consuming

    def lanes(self, queue: Queue) -> Sequence[str]:
        return [queue.id]

    def consume(self, queue: Queue, lane: str, token: int, deliver: Deliver) -> RabbitConsumer:
        key = lane_key(lane)
        return RabbitConsumer(
            lane,
            queue,
            deliver,
            broker=self._out,
            topology=self._topology,
            publisher=self._publisher,
            owns=lambda: self._engine.ownership.token(key) == token,
            attempts=self._attempts,
            ahead=self._config.fifo_lookahead,
        )

    def _attempts(self, queue: Queue) -> int:
        """In all. Here `max_retries` means what it says, of named queues, too."""
        if queue.max_retries is not None:
            return queue.max_retries + 1
        return DEFAULT_RETRIES + 1 if queue.group is None else self._config.max_attempts

    # Retention

    async def abandoned(self, retention_ms: int) -> Collection[str]:
        return await self._topics.abandoned(retention_ms)

    async def expire(self, lane: str, token: int, retention_ms: int) -> int | None:
        return await self._once(partial(self._retention.expire, lane, retention_ms))

    # Management

    async def topics(self) -> Collection[str]:
        return await self._topics.all()

    async def stats(self, of: Of) -> Stats:
        """Jobs in flight are not counted: RabbitMQ tells only how many wait."""

        async def look() -> Stats:
            all_names = await self._names(of)
            waiting = [names.queue for names in all_names] + ([backlog(of).queue] if isinstance(of, str) else [])
            depth = sum([await count(self._in, name) for name in waiting])
            delayed = sum([await count(self._in, names.retry_queue) for names in all_names])
            return Stats(depth, delayed, sum([await count(self._in, names.dead_queue) for names in all_names]))

        return await self._persistently(look)

    async def dead(self, of: Of, offset: int, limit: int) -> Sequence[Dead]:
        async def look() -> list[Dead]:
            return [dead for names in await self._names(of) for dead in await self._dead.newest(names, offset + limit)]

        found = await self._persistently(look)
        found.sort(key=lambda dead: dead.failed_at, reverse=True)
        return found[offset : offset + limit]

    async def redrive(self, of: Of) -> int:
        topic = isinstance(of, str)
        return sum([await self._once(partial(self._dead.redrive, names, topic)) for names in await self._names(of)])

    async def redrive_message(self, of: Of, id: str) -> int:
        topic = isinstance(of, str)
        for names in await self._names(of):
            if await self._once(partial(self._dead.redrive, names, topic, id)):
                return 1
        return 0

    async def discard_message(self, of: Of, id: str) -> int:
        for names in await self._names(of):
            if await self._once(partial(self._dead.discard, names, id)):
                return 1
        return 0

    async def purge(self, of: Of) -> int:
        all_names = await self._names(of)
        queues = [name for names in all_names for name in (names.queue, names.retry_queue)]
        if isinstance(of, str):
            queues.append(backlog(of).queue)
        return sum([await self._once(partial(purge, self._in, name)) for name in queues])

    async def _names(self, of: Of) -> list[Names]:
        if isinstance(of, str):
            return [names_of_group(group) for group in await self._topics.groups(of)]
        return [names_of(of)]

    async def _persistently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await persistently(attempt, self._patience)

    async def _once(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What must not be repeated."""
        return await persistently(attempt, 0.0)


def _coarse(ms: int) -> int:
    """Three digits count, so that delays share queues; never earlier."""
    step: int = 10 ** max(0, len(str(ms)) - 3)
    return (ms + step - 1) // step * step
