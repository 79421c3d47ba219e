"""Processes of the cluster that die, stand still or are stopped."""

from iii_cluster.chaos.clusters.cluster import Process
from iii_cluster.chaos.history import Injected
from iii_cluster.cluster.map import Role

from .fault import World, note
from .kinds import Target
from .schedule import Planned


class ProcessFault:
    def __init__(self, planned: Planned, world: World, target: Target) -> None:
        self._planned = planned
        self._world = world
        self._target = target
        self._name = ""

    async def inject(self, record: Injected) -> None:
        process = self._victim()
        self._name = process.name
        self._world.taken.add(process.name)
        note(record, [process])
        self._break(process.name)

    async def take_back(self) -> None:
        """A process that ended is started again by whoever keeps it."""

    async def back(self) -> None:
        try:
            await self._world.cluster.back(self._name)
        finally:
            self._world.taken.discard(self._name)

    def _victim(self) -> Process:
        if self._target is Target.LEADER:
            return self._world.pick([self._world.leader()], 0)
        return self._world.pick(self._world.of_role(Role(self._target.value)), self._planned.victim)

    def _break(self, name: str) -> None:
        raise NotImplementedError


class KillProcess(ProcessFault):
    def _break(self, name: str) -> None:
        self._world.cluster.kill(name, self._planned.duration)


class TerminateProcess(ProcessFault):
    def _break(self, name: str) -> None:
        self._world.cluster.terminate(name, self._planned.duration)


class PauseProcess(ProcessFault):
    def _break(self, name: str) -> None:
        self._world.cluster.freeze(name)

    async def take_back(self) -> None:
        self._world.cluster.thaw(self._name)
