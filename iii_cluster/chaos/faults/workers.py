"""Sockets of workers that are reset on the way."""

from iii_cluster.chaos.history import Injected

from .fault import NotNow, World
from .schedule import Planned


class ResetWorkers:
    def __init__(self, planned: Planned, world: World) -> None:
        self._planned = planned
        self._world = world

    async def inject(self, record: Injected) -> None:
        clients = self._world.clients()
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
