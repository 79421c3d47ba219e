"""All workers of a run together."""

import asyncio
from collections.abc import Mapping, Sequence

from iii_cluster.chaos.recorder import Recorder

from .browser import HttpDoor
from .calls import Calls, Sizes
from .client import Client
from .crew import Crew
from .cron import Cron
from .door import Door
from .messages import Messages
from .queues import Queues
from .routes import Routes
from .state import State
from .streams import Streams
from .tasks import end
from .topics import Topics
from .transfers import Transfers
from .viewer import StreamDoor
from .workload import CALLS, SHARES, Workload

SWEEP = 0.5  # s between two looks for calls to give up


class Load:
    """`doors` has one way in per gateway, `stream_doors` and `http_doors` one for those clients; `factors` are those of
    `--load`."""

    def __init__(
        self,
        doors: Sequence[Door],
        stream_doors: Sequence[StreamDoor],
        http_doors: Sequence[HttpDoor],
        recorder: Recorder,
        *,
        seed: int,
        sizes: Sizes,
        factors: Mapping[str, float],
        own_queues: bool,
    ) -> None:
        self.recorder = recorder
        self._crew = Crew(doors, recorder, seed)
        self.names = self._crew.names
        self._calls = Calls(self._crew, Sizes(rate=sizes.rate * factors.get(CALLS, 1.0), duration=sizes.duration))
        self._called = CALLS in factors
        rates = {name: sizes.rate * share * factors[name] for name, share in SHARES.items() if name in factors}
        self.workloads: list[Workload] = []
        if "queues" in rates:
            self.workloads.append(Queues(self._crew, rates["queues"], configured=own_queues))
        if "topics" in rates:
            self.workloads.append(Topics(self._crew, rates["topics"]))
        if "cron" in rates:
            self.workloads.append(Cron(self._crew, jobs=max(1, round(factors["cron"]))))
        if "state" in rates:
            self.workloads.append(State(self._crew, rates["state"]))
        if "streams" in rates:
            self.workloads.append(Streams(self._crew, stream_doors, rates["streams"]))
        if "pubsub" in rates:
            self.workloads.append(Messages(self._crew, rates["pubsub"]))
        if "http" in rates:
            self.workloads.append(Routes(self._crew, http_doors, rates["http"]))
        if "channels" in rates:
            self.workloads.append(Transfers(self._crew, doors, rates["channels"]))
        self._connecting: list[asyncio.Task[None]] = []

    @property
    def clients(self) -> list[Client]:
        return self._crew.clients

    @property
    def residents(self) -> list[Client]:
        """One that stays at each gateway."""
        return self._calls.residents

    @property
    def provided(self) -> tuple[str, list[str]]:
        """A trigger type that one of the workers provides, and the triggers of it that it was told of."""
        return self._calls.provider.type, sorted(self._calls.provider.held)

    def connect(self) -> None:
        self._connecting = [asyncio.create_task(client.run()) for client in self.clients]
        self._connecting.append(asyncio.create_task(self._give_up()))

    @property
    def warm(self) -> bool:
        """Every worker is connected and the cluster knows what it registered."""
        return not self.unknown

    @property
    def unknown(self) -> list[str]:
        """Workers that are not connected, or have registered what the cluster does not know yet."""
        return [client.name for client in self.clients if not client.confirmed]

    def start(self) -> None:
        if self._called:
            self._calls.start()
        for workload in self.workloads:
            workload.start()

    async def settle(self) -> None:
        """Nothing comes or goes any more; the steady load goes on."""
        await self._calls.settle()

    async def pause(self) -> None:
        """Nothing more is asked for."""
        await asyncio.gather(self._calls.pause(), *(workload.pause() for workload in self.workloads))

    async def rest(self) -> None:
        """Returns when everything has had its effect, or never will."""
        await asyncio.gather(*(workload.rest() for workload in self.workloads))

    async def stop(self) -> None:
        await asyncio.gather(self._calls.stop(), *(workload.stop() for workload in self.workloads))
        await end(self._connecting)

    @property
    def pending(self) -> int:
        return sum(len(client.pending) for client in self.clients)

    @property
    def awaited(self) -> list[str]:
        """Effects that are still to come, in words."""
        return [words for workload in self.workloads if (words := workload.awaited)]

    async def _give_up(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            for client in self.clients:
                client.pending.give_up(self.recorder.now())
