"""Watches the admin port of every process: the map it holds, and whether it is ready."""

import asyncio
from collections.abc import Mapping
from typing import Any

from .clusters.admin import Silent, ask
from .clusters.cluster import Cluster, Process
from .history import Late, MapSeen, NotBack, Ready
from .recorder import Recorder

INTERVAL = 0.2  # s between two looks
PULSE = 0.05  # s
LATE = 0.05  # s this program may be late without a note of it


class Observer:
    """A process that was seen and runs no more counts as not ready, until another one has taken its place."""

    def __init__(self, cluster: Cluster, recorder: Recorder) -> None:
        self._cluster = cluster
        self._recorder = recorder
        self._ready: dict[str, tuple[bool, list[str]]] = {}
        self._maps: dict[int, tuple[int, int]] = {}  # newest version by pid
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._pulse())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def not_ready(self) -> list[NotBack]:
        now = self._recorder.now()
        states = self._ready.items()
        return [NotBack(process=name, at=now, reasons=reasons) for name, (ready, reasons) in states if not ready]

    async def _watch(self) -> None:
        while True:
            processes = {process.name: process for process in self._cluster.processes}
            for name in self._ready.keys() - processes.keys():
                self._missing(name)
            await asyncio.gather(*(self._look(process) for process in processes.values()))
            await asyncio.sleep(INTERVAL)

    async def _look(self, process: Process) -> None:
        try:
            code, readiness = await ask(process.admin, "/readyz")
            self._state(process.name, code == 200, readiness.get("reasons", []))
            _, cluster = await ask(process.admin, "/cluster")
            self._map(process, cluster)
        except Silent as silent:
            self._state(process.name, False, [str(silent)])

    def _missing(self, name: str) -> None:
        if self._cluster.replaced(name):
            self._state(name, True, ["another process has its place"])
            del self._ready[name]
        else:
            self._state(name, False, ["it does not run"])

    def _state(self, name: str, ready: bool, reasons: list[str]) -> None:
        before = self._ready.get(name)
        self._ready[name] = (ready, reasons)
        if before is None or before[0] != ready:
            record = Ready(process=name, at=self._recorder.now(), ready=ready, reasons=reasons)
            self._recorder.history.ready.append(record)

    def _map(self, process: Process, cluster: Mapping[str, Any]) -> None:
        version = (cluster["term"], cluster["epoch"])
        if version == (0, 0) or self._maps.get(process.pid) == version:
            return
        self._maps[process.pid] = version
        seen = MapSeen(
            process=process.name,
            pid=process.pid,
            at=self._recorder.now(),
            term=cluster["term"],
            epoch=cluster["epoch"],
            leader=cluster["leader"],
            nodes=[node["id"] for node in cluster["nodes"]],
            slots=cluster["slots"],
        )
        self._recorder.history.maps.append(seen)

    async def _pulse(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(PULSE)
            late = loop.time() - before - PULSE
            if late > LATE:
                self._recorder.history.late.append(Late(at=self._recorder.now(), seconds=round(late, 3)))
