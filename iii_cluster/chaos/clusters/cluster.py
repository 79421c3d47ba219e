"""What a run needs of the cluster it breaks, whether it is its own or one it found."""

from typing import Protocol

from iii_cluster.cluster.map import Role

from .addresses import Address, Process


class Cluster(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Leaves nothing frozen or cut off behind."""

    def count(self, role: Role) -> int:
        """Processes there are when all is well."""

    @property
    def processes(self) -> list[Process]:
        """Those that run and serve now, in a fixed order; one that was started again has its old place."""

    @property
    def entrances(self) -> int:
        """Ways in for workers, one per gateway."""

    def entrance(self, number: int) -> Address | None:
        """Where a gateway listens for workers, None while it does not."""

    def gateway_of(self, number: int, worker: str) -> str:
        """Name of the gateway that gave a worker who came this way its id."""

    async def kill(self, name: str, away: float) -> None:
        """End a process at once; it is started again `away` seconds later."""

    async def terminate(self, name: str, away: float) -> None:
        """Have a process stop by itself; it is started again `away` seconds after its end."""

    def freeze(self, name: str) -> None: ...

    def thaw(self, name: str) -> None: ...

    async def back(self, name: str) -> None:
        """Returns when a process that was killed or stopped serves again."""

    def cut(self, host: str) -> None: ...

    def mend(self, host: str) -> None: ...


class Redis(Protocol):
    """The server of the cluster, as far as it may be broken."""

    async def kill(self, away: float) -> None: ...

    async def back(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    async def flush(self) -> None: ...

    async def deafen(self) -> None:
        """Cut off every subscriber."""
