"""One run from beginning to end: load, faults, quiet, the last look, the checks."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from msgspec import Struct

from iii_cluster.cluster.map import Role

from .checks import Violation, check
from .clusters.cluster import Cluster, Redis
from .faults import World
from .faults.director import Director
from .faults.kinds import Target
from .faults.schedule import Planned, draw
from .history import History
from .limits import CALL, SETTLE
from .load.client import Client
from .load.door import Door
from .load.load import Load, MakeClient, Sizes
from .load.proxy import Proxy
from .load.registry import held, look
from .observer import Observer
from .options import Options
from .recorder import Recorder

WARM = 30.0  # s for all workers to be connected and known
CHECK_INTERVAL = 2.0  # s between two looks whether something is wrong already
LOOK_INTERVAL = 0.5  # s between two looks at the registry while it settles
POLL = 0.05  # s


class NotWarm(Exception):
    """The cluster did not take up the load, before anything was broken."""


class Listener(Protocol):
    """Whoever shows how it goes."""

    def say(self, text: str) -> None: ...

    def progress(self, seconds: float, history: History) -> None: ...


class Outcome(Struct):
    plan: list[Planned]
    history: History
    violations: list[Violation]


class Run:
    """`cluster` is started and stopped by the run; `redis` is None where it must not be broken."""

    def __init__(
        self,
        options: Options,
        recorder: Recorder,
        cluster: Cluster,
        redis: Callable[[], Redis | None],
        listener: Listener,
        make: MakeClient = Client,
    ) -> None:
        self._options = options
        self._recorder = recorder
        self._history = recorder.history
        self._cluster = cluster
        self._redis = redis
        self._listener = listener
        self._make = make
        self._proxies: list[Proxy] = []

    async def run(self) -> Outcome:
        """Raises NotWarm, and what keeps the cluster from starting."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._cluster.stop)
            await self._cluster.start()
            observer = Observer(lambda: self._cluster.processes, self._recorder)
            stack.push_async_callback(observer.stop)
            observer.start()
            load = await self._load(stack)
            plan = self._plan(load)
            await self._broken(load, plan)
            await self._last_look(load, observer)
            self._history.ended = self._recorder.now()  # what comes now is only the end of the run
        return Outcome(plan, self._history, check(self._history))

    async def _load(self, stack: AsyncExitStack) -> Load:
        doors = []
        for number in range(self._cluster.entrances):
            proxy = Proxy(lambda number=number: self._cluster.entrance(number))  # type: ignore[misc]
            self._proxies.append(proxy)
            stack.push_async_callback(proxy.close)
            await proxy.start()
            gateway_of = lambda worker, number=number: self._cluster.gateway_of(number, worker)  # noqa: E731
            doors.append(Door(f"ws://127.0.0.1:{proxy.port}/", gateway_of))
        options = self._options
        sizes = Sizes(rate=options.rate, duration=options.duration)
        load = Load(doors, self._recorder, seed=options.seed, tag=str(options.seed), sizes=sizes, make=self._make)
        stack.push_async_callback(load.stop)
        load.connect()
        await self._within(WARM, lambda: load.warm, "the workers were not known to the cluster")
        return load

    def _plan(self, load: Load) -> list[Planned]:
        options = self._options
        cluster = self._cluster
        hosts = {process.host for process in cluster.processes if process.host}
        return draw(
            options.seed,
            duration=options.duration,
            every=options.every,
            kinds=options.faults,
            sizes={
                Target.GATEWAY: cluster.count(Role.GATEWAY),
                Target.SHARD: cluster.count(Role.SHARD),
                Target.COORDINATOR: cluster.count(Role.COORDINATOR),
                Target.LEADER: cluster.count(Role.COORDINATOR),
                Target.REDIS: 1,
                Target.WORKERS: len(load.clients),
                Target.NETWORK: len(hosts),
            },
            lease_ttl=self._history.lease_ttl,
        )

    async def _broken(self, load: Load, plan: Sequence[Planned]) -> None:
        """The time of the faults. Ends early at the first violation unless told to keep going."""
        start = self._recorder.now()
        world = World(self._cluster, self._redis(), lambda: load.clients, self._reset, self._history)
        director = Director(plan, world, self._recorder, self._listener.say)
        load.start()
        faults = asyncio.create_task(director.run(start))
        try:
            next_check = start + CHECK_INTERVAL
            while self._recorder.now() < start + self._options.duration:
                self._listener.progress(self._recorder.now() - start, self._history)
                await asyncio.sleep(POLL)
                if self._recorder.now() >= next_check and not self._options.keep_going:
                    next_check = self._recorder.now() + CHECK_INTERVAL
                    if check(self._history):
                        self._listener.say("something is wrong: no more faults (--keep-going goes on)")
                        break
            else:
                await faults
        finally:
            faults.cancel()
            await director.give_up()

    async def _last_look(self, load: Load, observer: Observer) -> None:
        """Nothing comes or goes any more: everybody gets ready, every call ends, every list becomes right."""
        self._listener.say("waiting for everything to settle")
        await load.settle()
        await self._within(SETTLE, lambda: not observer.not_ready and load.warm)
        await self._registry(load)
        self._history.not_back += observer.not_ready
        await load.stop_calling()
        await self._within(CALL, lambda: not load.pending)

    async def _registry(self, load: Load) -> None:
        callers = [client for client in load.clients if client.name.startswith(load.names.worker("caller"))]
        deadline = self._recorder.now() + SETTLE
        while True:
            found = [final for client in callers for final in await look(load, client)]
            found.append(held(load))
            if all(final.expected == final.seen for final in found) or self._recorder.now() > deadline:
                self._history.final += found
                return
            await asyncio.sleep(LOOK_INTERVAL)

    def _reset(self, client: Client) -> bool:
        return any(proxy.reset(client.port) for proxy in self._proxies)

    async def _within(self, seconds: float, check: Callable[[], bool], failure: str = "") -> None:
        """Wait until `check` holds; afterwards raise NotWarm, or go on when `failure` is empty."""
        deadline = self._recorder.now() + seconds
        while not check():
            if self._recorder.now() > deadline:
                if failure:
                    raise NotWarm(f"{failure} within {seconds:g} s")
                return
            await asyncio.sleep(POLL)
