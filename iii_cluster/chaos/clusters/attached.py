"""The cluster that runs already: found through the admin port of any of its nodes, as far as it is on this host."""

import asyncio
import contextlib
import os
import signal
import socket
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from iii_cluster.access.certificates import TlsError
from iii_cluster.access.trust import Secured, Trust
from iii_cluster.chaos.history import TAG
from iii_cluster.cluster.map import Role, tag_of

from .addresses import Address
from .admin import Silent, ask
from .cluster import Process, Redis
from .entrances import refusal

HOST = "127.0.0.1"
INTERVAL = 0.25  # s between two looks at the map


class NotAttached(Exception):
    """No cluster there that could be broken; says why."""


class Attached:
    """`admin` is the address of any node. Processes are named by the tag of their node ids: one that is started again
    is another one."""

    def __init__(self, admin: str, redis: Redis | None, trust: Trust) -> None:
        """`admin` is a URL. Raises NotAttached when it is none, or files of `trust` cannot be used."""
        self.redis = redis
        try:
            parts = urlsplit(admin)
            host, https = parts.hostname or HOST, parts.scheme == "https"
            given = trust.secured()
            self._secured = Secured(given.context, given.name or host)
            self._first = Address(host, parts.port or (443 if https else 80), "", self._secured if https else None)
        except (ValueError, TlsError) as error:
            raise NotAttached(str(error)) from None
        self._processes: list[Process] = []
        self._initial: dict[str, int] = {}  # processes by role
        self._frozen: dict[str, int] = {}  # pids by name
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises NotAttached."""
        try:
            await self._look(self._first)
        except Silent as silent:
            raise NotAttached(f"no node answers at {self._first.host}:{self._first.port}: {silent}") from None
        gateways = [process for process in self._processes if process.role == Role.GATEWAY]
        if not gateways:
            raise NotAttached("the cluster has no gateway on this host")
        for process in self._processes:
            self._initial[process.role] = self._initial.get(process.role, 0) + 1
        if why := await refusal(gateways[0]):
            raise NotAttached(why)
        self._watch = asyncio.create_task(self._keep_looking())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for name in list(self._frozen):
            self.thaw(name)

    async def _keep_looking(self) -> None:
        while True:
            for process in self._processes:
                with contextlib.suppress(Silent):
                    await self._look(process.admin)
                    break
            await asyncio.sleep(INTERVAL)

    async def _look(self, admin: Address) -> None:
        _, cluster = await ask(admin, "/cluster")
        here = [node for node in cluster.get("nodes", []) if node["host"] == socket.gethostname()]
        # Where the first one was asked the others listen, too; another host's are not here.
        host = self._first.host if any(node["ports"].get("admin") == self._first.port for node in here) else HOST
        found = [self._process(node, host) for node in here]
        if found:
            self._processes = sorted(found, key=lambda process: process.name)

    def _process(self, node: dict[str, Any], admin_host: str) -> Process:
        ports, encrypted = node["ports"], node.get("tls", ())
        places = {
            kind: Address(HOST, port, "", self._secured if kind in encrypted else None) for kind, port in ports.items()
        }
        return Process(
            name=f"{node['role']}-{tag_of(node['id'])}",
            role=node["role"],
            node=node["id"],
            pid=node["pid"],
            admin=replace(places["admin"], host=admin_host),
            worker=places.get("worker"),
            stream=places.get("stream"),
            http=places.get("http"),
        )

    @property
    def processes(self) -> list[Process]:
        return [process for process in self._processes if _runs(process.pid)]

    def count(self, role: Role) -> int:
        return self._initial.get(role, 0)

    # Ways in: one per gateway there was at first

    @property
    def entrances(self) -> int:
        return self.count(Role.GATEWAY)

    def entrance(self, number: int) -> Address | None:
        gateway = self._gateway(number)
        return gateway.worker if gateway is not None else None

    def stream_entrance(self, number: int) -> Address | None:
        gateway = self._gateway(number)
        return gateway.stream if gateway is not None else None

    def http_entrance(self, number: int) -> Address | None:
        gateway = self._gateway(number)
        return gateway.http if gateway is not None else None

    def stream_gateway(self, _number: int) -> str:
        return ""

    def _gateway(self, number: int) -> Process | None:
        gateways = [process for process in self.processes if process.role == Role.GATEWAY]
        return gateways[number % len(gateways)] if gateways else None

    def gateway_of(self, _number: int, worker: str) -> str:
        """Gateways share a port; a worker's id begins with the tag of the one that made it."""
        return f"{Role.GATEWAY}-{worker[:TAG]}" if worker else ""

    # Faults

    def kill(self, name: str, away: float) -> None:
        """Whoever keeps the cluster running starts it again when it likes."""
        self._signal(name, signal.SIGKILL)

    def terminate(self, name: str, away: float) -> None:
        raise NotImplementedError("a process that was drained is not started again by `up`")

    def freeze(self, name: str) -> None:
        self._frozen[name] = self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        pid = self._frozen.pop(name, 0)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def back(self, name: str) -> None:
        while not self._complete(name):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(INTERVAL)

    def replaced(self, name: str) -> bool:
        return name not in {process.name for process in self.processes} and self._complete(name)

    def _complete(self, name: str) -> bool:
        """As many processes of its role run as there were at first."""
        role = name.partition("-")[0]
        return sum(process.role == role for process in self.processes) >= self._initial[role]

    def cut(self, host: str) -> None:
        raise NotImplementedError("one host can not be cut off from itself")

    def mend(self, host: str) -> None:
        raise NotImplementedError

    def _signal(self, name: str, number: signal.Signals) -> int:
        pid = next((process.pid for process in self.processes if process.name == name), 0)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
