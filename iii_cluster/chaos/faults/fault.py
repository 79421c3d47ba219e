"""What all faults have in common, and what they may touch."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from iii_cluster.chaos.clusters.cluster import Cluster, Process
from iii_cluster.chaos.history import History, Injected
from iii_cluster.chaos.load.client import Client
from iii_cluster.cluster.map import Role, tag_of


class NotNow(Exception):
    """The fault does not apply at this moment; says why."""


class Fault(Protocol):
    async def inject(self, record: Injected) -> None:
        """Break it and note in `record` what was hit. Raises NotNow."""

    async def take_back(self) -> None:
        """End it: called after its duration, and when the run is given up."""

    async def back(self) -> None:
        """Returns when what was hit serves again."""


class World:
    """`reset` cuts the connection of a client; `taken` are those whom a fault has hit and not left yet."""

    def __init__(
        self, cluster: Cluster, clients: Sequence[Client], reset: Callable[[Client], bool], history: History
    ) -> None:
        self.cluster = cluster
        self.clients = clients
        self.reset = reset
        self.taken: set[str] = set()
        self._history = history

    def pick(self, candidates: list[Process], victim: int) -> Process:
        """The `victim`-th, or the next one that no other fault has hit. Raises NotNow."""
        for step in range(len(candidates)):
            process = candidates[(victim + step) % len(candidates)]
            if process.name not in self.taken:
                return process
        raise NotNow("everybody it could hit is hit already")

    def of_role(self, role: Role) -> list[Process]:
        return [process for process in self.cluster.processes if process.role == role]

    def leader(self) -> Process:
        """The coordinator that leads by the newest map there is. Raises NotNow."""
        newest = max(self._history.maps, key=lambda seen: (seen.term, seen.epoch), default=None)
        tag = tag_of(newest.leader) if newest is not None else ""
        for process in self.of_role(Role.COORDINATOR):
            if tag and tag_of(process.node) == tag:
                return process
        raise NotNow("nobody leads at the moment")


def note(record: Injected, processes: Iterable[Process]) -> None:
    """These processes are hit."""
    for process in processes:
        record.victims.append(process.name)
        record.nodes.append(process.node)
        if process.role == Role.GATEWAY:
            record.gateways.append(process.name)
