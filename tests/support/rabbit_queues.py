"""Fake processes that keep queues in a real RabbitMQ."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from iii_cluster.bus.envelopes import Trigger
from tests.support.eventually import eventually
from tests.support.queues import Queues

MakeQueues = Callable[..., Awaitable[Queues]]


class RabbitQueues(Queues):
    """Waits for what the broker is told in the background."""

    async def subscribe(self, trigger: Trigger) -> None:
        await super().subscribe(trigger)
        await self.told()

    async def unsubscribe(self, trigger: Trigger) -> None:
        await super().unsubscribe(trigger)
        await self.told()

    async def told(self) -> None:
        groups = self.gateway.module._groups
        assert groups is not None
        await eventually(lambda: not groups._tasks)


@asynccontextmanager
async def rabbit_queues(redis_url: str, amqp_url: str) -> AsyncIterator[MakeQueues]:
    """Starts gateways, each with shards and named queues of its own."""
    made: list[Queues] = []

    async def start(named: dict[str, Any] | None = None, shards: int = 1, **settings: Any) -> Queues:
        queues = RabbitQueues(redis_url, named, **settings)
        queues._config["adapter"] = {"name": "rabbitmq", "config": {"amqp_url": amqp_url}}
        made.append(queues)
        return await queues.start(shards)

    yield start
    for queues in made:
        await queues.close()
