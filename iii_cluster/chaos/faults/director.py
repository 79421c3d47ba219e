"""Carries out the plan: each fault at its time, taken back after its duration, whatever becomes of the others."""

import asyncio
from collections.abc import Callable, Sequence

from iii_cluster.chaos.history import Injected
from iii_cluster.chaos.limits import SETTLE
from iii_cluster.chaos.recorder import Recorder

from .fault import Fault, NotNow, World
from .kinds import KINDS, Action, Target
from .network import CutHost, ResetWorkers
from .processes import KillProcess, PauseProcess, TerminateProcess
from .redis import DeafenRedis, FlushRedis, KillRedis, PauseRedis
from .schedule import Planned

PROCESS_FAULTS = {Action.KILL: KillProcess, Action.PAUSE: PauseProcess, Action.TERM: TerminateProcess}
REDIS_FAULTS = {Action.KILL: KillRedis, Action.PAUSE: PauseRedis, Action.FLUSH: FlushRedis, Action.DEAF: DeafenRedis}


class Director:
    """`say` is told of every fault."""

    def __init__(self, plan: Sequence[Planned], world: World, recorder: Recorder, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._world = world
        self._recorder = recorder
        self._say = say
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, start: float) -> None:
        """Returns when all faults are over; `start` is the moment of the recorder that the plan counts from."""
        for planned in self._plan:
            await asyncio.sleep(max(0.0, start + planned.at - self._recorder.now()))
            self._tasks.append(asyncio.create_task(self._carry_out(planned)))
        await asyncio.gather(*self._tasks)

    async def give_up(self) -> None:
        """No more faults; what is broken is taken back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_out(self, planned: Planned) -> None:
        fault = _made(planned, self._world)
        record = self._recorder.injected(planned.index, planned.kind)
        try:
            await fault.inject(record)
        except NotNow as reason:
            record.skipped = str(reason)
            self._say(f"#{planned.index} {planned.kind}: left out, {reason}")
            return
        try:
            hit = ", ".join(record.victims)
            lasts = f" for {planned.duration:.1f} s" if planned.duration else ""
            self._say(f"#{planned.index} {planned.kind}: {hit}{lasts}")
            await asyncio.sleep(planned.duration)
        finally:
            await fault.take_back()
            record.over = self._recorder.now()
        await self._until_back(fault, record)

    async def _until_back(self, fault: Fault, record: Injected) -> None:
        try:
            async with asyncio.timeout(SETTLE):
                await fault.back()
        except TimeoutError:
            self._say(f"#{record.index} {record.kind}: what was hit did not come back within {SETTLE:g} s")
            return
        record.healed = self._recorder.now()


def _made(planned: Planned, world: World) -> Fault:
    """The fault of a plan, not carried out yet."""
    kind = KINDS[planned.kind]
    if kind.target is Target.REDIS:
        return REDIS_FAULTS[kind.action](planned, world)
    if kind.target is Target.WORKERS:
        return ResetWorkers(planned, world)
    if kind.target is Target.NETWORK:
        return CutHost(planned, world)
    return PROCESS_FAULTS[kind.action](planned, world, kind.target)
