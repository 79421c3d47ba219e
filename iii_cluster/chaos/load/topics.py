"""Jobs published on a topic that two functions subscribe to, each served at every gateway."""

import asyncio

from iii_cluster.chaos.effects import Queue
from iii_cluster.chaos.history import TOPIC

from .client import Client
from .crew import Crew
from .jobs import Jobs
from .pace import beats
from .tasks import end
from .triggers import trigger

SUBSCRIBER = "durable:subscriber"
PUBLISH = "iii::durable::publish"
CONCURRENCY = 3  # of each function
RETRIES = 3
BACKOFF = 100  # ms
MOST_PENDING = 200  # of one publisher


class Topics:
    """`rate` is jobs per second of all publishers."""

    def __init__(self, crew: Crew, rate: float) -> None:
        names = crew.names
        self._rate = rate / crew.gateways
        self._topic = names.function(TOPIC)
        functions = [names.function(TOPIC, function) for function in ("first", "second")]
        queue = Queue(
            name=self._topic,
            at=crew.recorder.now(),
            functions=functions,
            concurrency=CONCURRENCY,
            attempts=RETRIES + 1,
        )
        crew.recorder.history.queues.append(queue)
        self._jobs = Jobs(crew, TOPIC, [queue])
        self._clients: list[Client] = []
        how = {"maxRetries": RETRIES, "backoffDelayMs": BACKOFF, "concurrency": CONCURRENCY}
        for gateway in range(crew.gateways):
            client = crew.client("subscriber", gateway, pinned=True, prefix=names.group(TOPIC))
            self._clients.append(client)
            for function in functions:
                client.functions[function] = self._jobs.serve
                config = {"topic": self._topic, "queue_config": how}
                added = trigger(client.rng, SUBSCRIBER, function, config)
                client.triggers[added["id"]] = added
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._publish(client)) for client in self._clients]

    async def _publish(self, client: Client) -> None:
        async for _ in beats(self._rate):
            if len(client.pending) < MOST_PENDING:
                await self._jobs.ask(client, self._topic, PUBLISH)

    async def pause(self) -> None:
        await end(self._tasks)

    async def rest(self) -> None:
        await self._jobs.rest(self._clients[0])

    @property
    def awaited(self) -> str:
        return self._jobs.awaited

    async def stop(self) -> None:
        await end(self._tasks)
