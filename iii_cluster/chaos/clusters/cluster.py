"""What a run needs of the cluster it breaks, whether it is its own or one it found."""

from typing import Protocol

from msgspec import Struct

from iii_cluster.cluster.map import Role

from .addresses import Address


class Process(Struct, frozen=True, kw_only=True):
    """A process of the cluster that runs now. When it is started again it keeps its `name`, not `node` and `pid`."""

    name: str
    role: str
    node: str
    pid: int
    admin: Address
    worker: Address | None = None
    stream: Address | None = None
    http: Address | None = None
    host: str = ""  # name of the network namespace it runs in, if it is one of ours


class Cluster(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Leaves nothing frozen or cut off behind."""

    def count(self, role: Role) -> int:
        """Processes there are when all is well."""

    @property
    def redis(self) -> "Redis | None":
        """Its server, once it runs; None where that must not be broken."""

    @property
    def processes(self) -> list[Process]:
        """Those that run and serve now, in an order that lasts."""

    @property
    def entrances(self) -> int:
        """Ways in for workers, one per gateway."""

    def entrance(self, number: int) -> Address | None:
        """Where a gateway listens for workers, None while it does not."""

    def stream_entrance(self, number: int) -> Address | None:
        """Where a gateway listens for stream clients, None while it does not."""

    def http_entrance(self, number: int) -> Address | None:
        """Where a gateway answers HTTP requests, None while it does not."""

    def stream_gateway(self, number: int) -> str:
        """Name of the gateway of either, "" where several share what they listen at."""

    def gateway_of(self, number: int, worker: str) -> str:
        """Name of the gateway that gave a worker who came this way its id; for worker "" as `stream_gateway`."""

    def kill(self, name: str, away: float) -> None:
        """End a process at once; it is started again `away` seconds later."""

    def terminate(self, name: str, away: float) -> None:
        """Have a process stop by itself; it is started again `away` seconds after its end."""

    def freeze(self, name: str) -> None: ...

    def thaw(self, name: str) -> None: ...

    async def back(self, name: str) -> None:
        """Returns when a process that was killed or stopped serves again, or another one in its place."""

    def replaced(self, name: str) -> bool:
        """The process will not come back: another one, of another name, has its place."""

    def cut(self, host: str) -> None: ...

    def mend(self, host: str) -> None: ...


class Redis(Protocol):
    """The server of the cluster, as far as it may be broken."""

    @property
    def keeps(self) -> bool:
        """What it has acknowledged is there again after a kill -9."""

    def kill(self, away: float) -> None: ...

    async def back(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    async def flush(self) -> None: ...

    async def deafen(self) -> None:
        """Cut off every subscriber."""
