"""What breaks on the way: the cable of a host, the sockets of workers."""

from iii_cluster.chaos.history import Injected

from .fault import NotNow, World, note
from .schedule import Planned


class CutHost:
    """Its processes live and reach each other, and nobody else."""

    def __init__(self, planned: Planned, world: World) -> None:
        self._planned = planned
        self._world = world
        self._host = ""

    async def inject(self, record: Injected) -> None:
        processes = self._world.cluster.processes
        hosts = sorted({process.host for process in processes})
        host = hosts[self._planned.victim % len(hosts)]
        if host in self._world.taken:
            raise NotNow("the host is cut off already")
        self._host = host
        self._world.taken.add(host)
        note(record, [process for process in processes if process.host == host])
        self._world.cluster.cut(host)

    async def take_back(self) -> None:
        if self._host:
            self._world.cluster.mend(self._host)

    async def back(self) -> None:
        self._world.taken.discard(self._host)


class ResetWorkers:
    def __init__(self, planned: Planned, world: World) -> None:
        self._planned = planned
        self._world = world

    async def inject(self, record: Injected) -> None:
        clients = self._world.clients
        for step in range(self._planned.count):
            client = clients[(self._planned.victim + step) % len(clients)]
            if self._world.reset(client):
                record.victims.append(client.name)
        if not record.victims:
            raise NotNow("they are not connected")

    async def take_back(self) -> None:
        """A reset is over at once."""

    async def back(self) -> None:
        """Workers come back by themselves."""
