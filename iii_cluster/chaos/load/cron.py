"""Jobs for every second, each registered by a worker at every gateway."""

import asyncio
import math
from datetime import datetime

from iii_cluster.chaos.effects import CronJob, Tick
from iii_cluster.chaos.limits import EFFECT

from .client import Client
from .crew import Crew
from .pending import Frame
from .triggers import trigger

CRON = "cron"
EVERY_SECOND = "* * * * * *"
WARM = 2.0  # s after which the first tick is due
LONGEST_WORK = 0.5  # s a handler takes
LOOK_INTERVAL = 0.1  # s


class Cron:
    def __init__(self, crew: Crew, jobs: int) -> None:
        self._recorder = crew.recorder
        self._functions = [crew.names.function(CRON, number) for number in range(jobs)]
        self._jobs: list[CronJob] = []
        self._seen: set[tuple[str, int]] = set()
        self._resting = False
        for gateway in range(crew.gateways):
            client = crew.client(CRON, gateway, pinned=True, prefix=crew.names.group(CRON))
            for function in self._functions:
                client.functions[function] = self._fired
                added = trigger(client.rng, CRON, function, {"expression": EVERY_SECOND})
                client.triggers[added["id"]] = added

    def _fired(self, client: Client, frame: Frame) -> None:
        assert client.connection is not None
        due = datetime.fromisoformat(frame["data"]["scheduled_time"]).timestamp()
        tick = Tick(
            function=frame["function_id"],
            connection=client.connection.id,
            at=self._recorder.now(),
            scheduled=self._recorder.at(due),
        )
        self._recorder.history.ticks.append(tick)
        self._seen.add((tick.function, round(due)))
        client.spawn(self._work(client, frame, tick))

    async def _work(self, client: Client, frame: Frame, tick: Tick) -> None:
        await asyncio.sleep(client.rng.uniform(0.0, LONGEST_WORK))
        tick.ended = self._recorder.now()
        await client.answer(frame, None)

    def start(self) -> None:
        first = math.ceil(self._recorder.wall(self._recorder.now() + WARM))
        self._jobs = [CronJob(function=function, at=self._recorder.at(first)) for function in self._functions]
        self._recorder.history.cron_jobs += self._jobs

    async def pause(self) -> None:
        last = math.floor(self._recorder.wall(self._recorder.now()))
        for job in self._jobs:
            job.until = max(job.at, self._recorder.at(last))

    async def rest(self) -> None:
        """Ticks still come while this waits for those that are missing; nobody judges them but for being single."""
        self._resting = True
        deadline = self._recorder.now() + EFFECT / 3
        while self._missing() and self._recorder.now() < deadline:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(LOOK_INTERVAL)
        self._resting = False

    def _missing(self) -> int:
        loss = self._recorder.history.last_loss
        count = 0
        for job in self._jobs:
            first, last = (round(self._recorder.wall(at)) for at in (max(job.at, loss), job.until))
            count += sum((job.function, due) not in self._seen for due in range(first, last + 1))
        return count

    @property
    def awaited(self) -> str:
        missing = self._missing() if self._resting else 0
        return f"{missing} ticks of cron jobs" if missing else ""

    async def stop(self) -> None:
        """It does nothing by itself."""
