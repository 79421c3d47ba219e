"""Exchanges and queues, made before they are used for the first time. What is there already stays as it is."""

import logging
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed

from iii_cluster.modules.queue.adapter import Group, Queue

from .connection import Broker, answered
from .names import Names, backlog, names_of, names_of_group, topic_exchange

DELAY_GRACE_MS = 60_000  # a queue of delayed jobs lasts this much longer than its last job

logger = logging.getLogger(__name__)


class Topology:
    """Every declaration has a channel of its own, which the broker closes if it does not like it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._made: set[str] = set()  # on this connection
        self._connection: AbstractConnection | None = None

    async def for_jobs(self, queue: Queue, *, anew: bool = False) -> None:
        """Where jobs are put in."""
        names = names_of(queue)
        if await self._known(names.queue):
            return
        arguments = {"x-max-priority": queue.max_priority} if queue.max_priority else {}
        await self._queue(names.queue, arguments, anew=anew)
        await self._bind(names.exchange, names.key, names.queue)
        self._made.add(names.queue)

    async def for_consumer(self, queue: Queue) -> None:
        """What the consumer of a queue needs."""
        names, mark = names_of(queue), f"{queue.backoff_ms} {queue.max_priority} {queue.id}"
        if await self._known(mark):
            return
        self.forget(names.queue)
        await self.for_jobs(queue, anew=True)
        if queue.group is not None:
            await self.for_topic(queue.group.topic)
            await self.bind(queue.group)
        back = {"x-dead-letter-exchange": names.exchange, "x-dead-letter-routing-key": names.key}
        await self._queue(names.retry_queue, {"x-message-ttl": queue.backoff_ms, **back}, anew=True)
        await self._bind(names.retry_exchange, names.retry_key, names.retry_queue)
        await self._queue(names.dead_queue, {})
        await self._bind(names.dead_exchange, names.dead_key, names.dead_queue)
        self._made.add(mark)

    async def for_topic(self, topic: str) -> None:
        name = topic_exchange(topic)
        if await self._known(name):
            return
        async with self._broker.channel() as channel:
            await answered(channel.declare_exchange(name, ExchangeType.FANOUT, durable=True))
        self._made.add(name)

    async def for_group(self, group: Group) -> None:
        """Its queue is made as any queue would be; its consumer knows better."""
        names = names_of_group(group)
        if not await self._known(names.queue):
            await self._queue(names.queue, {}, quiet=True)
            self._made.add(names.queue)

    async def for_backlog(self, topic: str) -> Names:
        names = backlog(topic)
        if not await self._known(names.queue):
            await self._queue(names.queue, {})
            self._made.add(names.queue)
        return names

    async def for_delay(self, names: Names, ms: int) -> str:
        """The queue whose jobs move on to the queue of `names` after `ms`. It vanishes when it is used no more."""
        name = names.delay_queue(ms)
        arguments = {
            "x-message-ttl": ms,
            "x-expires": ms + DELAY_GRACE_MS,
            "x-dead-letter-exchange": names.exchange,
            "x-dead-letter-routing-key": names.key,
        }
        await self._queue(name, arguments)
        return name

    async def bind(self, group: Group, on: bool = True) -> None:
        """Whether the group gets what is published to its topic."""
        names = names_of_group(group)
        async with self._broker.channel() as channel:
            queue = await answered(channel.get_queue(names.queue, ensure=False))
            change = queue.bind if on else queue.unbind
            await answered(change(topic_exchange(group.topic), routing_key=names.key))

    def forget(self, *names: str) -> None:
        """These may not be there any more; without names: all."""
        self._made = self._made.difference(names) if names else set()

    async def _known(self, name: str) -> bool:
        connection = await self._broker.connection()
        if connection is not self._connection:
            self._connection = connection
            self._made.clear()
        return name in self._made

    async def _queue(self, name: str, arguments: dict[str, Any], *, anew: bool = False, quiet: bool = False) -> None:
        """`anew`: one that is there with other arguments is made anew, if it is empty and nobody consumes it."""
        try:
            async with self._broker.channel() as channel:
                await answered(channel.declare_queue(name, durable=True, arguments=arguments))
        except ChannelPreconditionFailed as error:
            if not quiet and not (anew and await self._replace(name, arguments)):
                logger.warning("action=queue_differs queue=%s detail=%r", name, str(error))

    async def _replace(self, name: str, arguments: dict[str, Any]) -> bool:
        try:
            async with self._broker.channel() as channel:
                await answered(channel.queue_delete(name, if_unused=True, if_empty=True))
                await answered(channel.declare_queue(name, durable=True, arguments=arguments))
        except ChannelPreconditionFailed:
            return False
        return True

    async def _bind(self, exchange: str, key: str, name: str) -> None:
        if not exchange:
            return
        async with self._broker.channel() as channel:
            await answered(channel.declare_exchange(exchange, ExchangeType.DIRECT, durable=True))
            queue = await answered(channel.get_queue(name, ensure=False))
            await answered(queue.bind(exchange, routing_key=key))
