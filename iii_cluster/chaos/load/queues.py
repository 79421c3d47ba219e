"""Jobs enqueued at every gateway, in queues of both types, done by workers at every gateway."""

import asyncio
from typing import Any

from iii_cluster.chaos.effects import Queue
from iii_cluster.chaos.history import QUEUE
from iii_cluster.chaos.limits import CALL

from .client import Client
from .crew import Crew
from .jobs import Jobs
from .pace import beats
from .tasks import end

GROUP = "group"  # field of a job
ATTEMPTS = 4
COMMON = {"max_retries": ATTEMPTS, "backoff_ms": 100}
# What the nodes of a cluster of our own are configured with.
STANDARD = "chaos-jobs"
CONFIGS: dict[str, dict[str, Any]] = {
    STANDARD: {"type": "standard", "concurrency": 6, **COMMON},
    "chaos-groups": {"type": "fifo", "message_group_field": GROUP, "concurrency": 3, **COMMON},
    "chaos-spread": {"type": "fifo", "message_group_field": GROUP, "concurrency": 4, "partitions": 3, **COMMON},
}
DEFAULT = "default"  # the queue that every cluster has
GROUPS = 3  # of each fifo queue and producer
IN_GROUPS = 0.5  # of the jobs
MOST_PENDING = 200  # of one producer


class Queues:
    """`rate` is jobs per second of all producers; `configured`: the cluster has our queues."""

    def __init__(self, crew: Crew, rate: float, *, configured: bool) -> None:
        self._recorder = crew.recorder
        configs = CONFIGS if configured else {DEFAULT: {}}
        names = crew.names
        self._functions = {queue: names.function(QUEUE, queue) for queue in configs}
        self._standard = [name for name, config in configs.items() if config.get("type") != "fifo"]
        self._fifo = [name for name in configs if name not in self._standard]
        self._rate = rate / crew.gateways
        queues = [
            Queue(
                name=name,
                at=self._recorder.now(),
                functions=[self._functions[name]],
                concurrency=config.get("concurrency", 0),
                attempts=config.get("max_retries", 0),
                fifo=name in self._fifo,
            )
            for name, config in configs.items()
        ]
        self._recorder.history.queues += queues
        self._jobs = Jobs(crew, QUEUE, queues)
        self._producers: list[Client] = []
        for gateway in range(crew.gateways):
            self._producers.append(crew.client("producer", gateway, pinned=True))
            for kind, pinned in (("consumer", True), ("helper", False)):
                consumer = crew.client(kind, gateway, pinned=pinned, prefix=names.group(QUEUE))
                consumer.functions |= dict.fromkeys(self._functions.values(), self._jobs.serve)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        share = 1 - IN_GROUPS if self._fifo else 1.0
        lines = len(self._fifo) * GROUPS
        for number, producer in enumerate(self._producers):
            works = [self._produce(producer, queue, self._rate * share) for queue in self._standard]
            works += [
                self._produce_in_order(producer, queue, f"{number}-{group}", self._rate * IN_GROUPS / lines)
                for queue in self._fifo
                for group in range(GROUPS)
            ]
            self._tasks += [asyncio.create_task(work) for work in works]

    async def _produce(self, producer: Client, queue: str, rate: float) -> None:
        async for _ in beats(rate):
            if len(producer.pending) < MOST_PENDING:
                await self._enqueue(producer, queue, "")

    async def _produce_in_order(self, producer: Client, queue: str, group: str, rate: float) -> None:
        """The next job of a group when the one before has been acknowledged, or not: then nobody knows its place."""
        async for _ in beats(rate):
            answered = await self._enqueue(producer, queue, group)
            if answered is not None:
                await asyncio.wait([answered], timeout=CALL)

    async def _enqueue(self, producer: Client, queue: str, group: str) -> asyncio.Future[Any] | None:
        action = {"type": "enqueue", "queue": queue}
        return await self._jobs.ask(producer, queue, self._functions[queue], group=group, action=action)

    async def pause(self) -> None:
        await end(self._tasks)

    async def rest(self) -> None:
        await self._jobs.rest(self._producers[0])

    @property
    def awaited(self) -> str:
        return self._jobs.awaited

    async def stop(self) -> None:
        await end(self._tasks)
