"""One run from beginning to end: load, faults, quiet, the last look, the checks."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol

from msgspec import Struct

from iii_cluster.access.trust import Secured
from iii_cluster.cluster.map import Role

from .checks import Violation, check
from .clusters.addresses import Address
from .clusters.cluster import Cluster
from .faults.director import Director
from .faults.fault import World
from .faults.kinds import Target
from .faults.schedule import Planned, draw
from .history import History
from .load.browser import HttpDoor
from .load.calls import Sizes
from .load.client import Client
from .load.door import Door
from .load.load import Load
from .load.proxy import Proxy
from .load.viewer import StreamDoor
from .load.workload import HTTP
from .observer import Observer
from .options import Options
from .recorder import Recorder
from .settling import POLL, Settling, holds

WARM = 30.0  # s for all workers to be connected and known
CHECK_INTERVAL = 2.0  # s between two looks whether something is wrong already


class NotWarm(Exception):
    """The cluster did not take up the load, before anything was broken."""


class NothingFits(Exception):
    """No fault has room in the time there is."""


class Listener(Protocol):
    """Whoever shows how it goes."""

    def begins(self) -> None:
        """The cluster is there."""

    def say(self, text: str) -> None: ...

    def progress(self, seconds: float, history: History) -> None: ...


class Outcome(Struct):
    """`interrupted`: seconds of load after which it was ended from outside; what must hold at the end is not judged."""

    plan: list[Planned]
    history: History
    violations: list[Violation]
    interrupted: float | None = None


class Run:
    """`cluster` is started and stopped by the run."""

    def __init__(self, options: Options, recorder: Recorder, cluster: Cluster, listener: Listener) -> None:
        self._options = options
        self._recorder = recorder
        self._history = recorder.history
        self._cluster = cluster
        self._listener = listener
        self._proxies: list[Proxy] = []

    async def run(self) -> Outcome:
        """Raises NotWarm, NothingFits, and what keeps the cluster from starting."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._cluster.stop)
            await self._cluster.start()
            self._listener.begins()
            observer = Observer(self._cluster, self._recorder)
            stack.push_async_callback(observer.stop)
            observer.start()
            entrances = range(self._cluster.entrances)
            load = Load(
                [await self._door(number, stack) for number in entrances],
                [await self._stream_door(number, stack) for number in entrances],
                [await self._http_door(number, stack) for number in entrances],
                self._recorder,
                seed=self._options.seed,
                sizes=Sizes(rate=self._options.rate, duration=self._options.duration),
                factors=self._factors(),
                own_queues=not self._options.attach,
            )
            plan = self._plan(load)
            if not plan:
                raise NothingFits("no fault fits into --duration with this seed: give it more time, or other --faults")
            stack.push_async_callback(load.stop)
            load.connect()
            if not await holds(lambda: load.warm, WARM):
                raise NotWarm(f"the workers were not known to the cluster within {WARM:g} s")
            return await self._to_the_end(load, observer, plan)

    async def _to_the_end(self, load: Load, observer: Observer, plan: list[Planned]) -> Outcome:
        """Cancelled it judges what there is: only when nothing was tried yet is a run cancelled for good."""
        start = self._recorder.now()
        try:
            await self._under_faults(load, plan)
            await Settling(load, observer, self._recorder, self._listener.say).settle()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            violations = check(self._history)  # while it is not ended: what may still come is not missed
            self._history.ended = self._recorder.now()
            return Outcome(plan, self._history, violations, round(self._history.ended - start, 1))
        self._history.ended = self._recorder.now()  # what comes now is only the end of the run
        return Outcome(plan, self._history, check(self._history))

    async def _door(self, number: int, stack: AsyncExitStack) -> Door:
        """The way in of that number, through a proxy."""
        port, secured = await self._proxy(lambda: self._cluster.entrance(number), stack)
        return Door(_url(port, secured), lambda worker: self._cluster.gateway_of(number, worker), secured)

    async def _stream_door(self, number: int, stack: AsyncExitStack) -> StreamDoor:
        port, secured = await self._proxy(lambda: self._cluster.stream_entrance(number), stack)
        return StreamDoor(_url(port, secured), self._cluster.stream_gateway(number), secured)

    async def _http_door(self, number: int, stack: AsyncExitStack) -> HttpDoor:
        port, secured = await self._proxy(lambda: self._cluster.http_entrance(number), stack)
        return HttpDoor(port, self._cluster.stream_gateway(number), secured)

    def _factors(self) -> dict[str, float]:
        """Of the load that can be had here. Raises NothingFits when that is none."""
        factors = dict(self._options.load)
        silent = any(self._cluster.http_entrance(number) is None for number in range(self._cluster.entrances))
        if silent and factors.pop(HTTP, None) is not None:
            self._listener.say(f"load left out: {HTTP}, some gateway does not tell where it answers requests")
        if not factors:
            raise NothingFits("no load is left: give --load others")
        return factors

    async def _proxy(self, target: Callable[[], Address | None], stack: AsyncExitStack) -> tuple[int, Secured | None]:
        """Its port, and with what clients come through: it forwards TLS as it is."""
        proxy = Proxy(target)
        self._proxies.append(proxy)
        stack.push_async_callback(proxy.close)
        await proxy.start()
        there = target()
        return proxy.port, there.secured if there is not None else None

    def _plan(self, load: Load) -> list[Planned]:
        cluster = self._cluster
        hosts = {process.host for process in cluster.processes if process.host}
        return draw(
            self._options.seed,
            duration=self._options.duration,
            every=self._options.every,
            kinds=self._options.faults,
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

    async def _under_faults(self, load: Load, plan: list[Planned]) -> None:
        """The duration of the run. Ends early at the first violation unless told to keep going."""
        start = self._recorder.now()
        world = World(self._cluster, load.clients, self._reset, self._history)
        director = Director(plan, world, self._recorder, self._listener.say)
        load.start()
        faults = asyncio.create_task(director.run(start))
        try:
            if await self._time_passes(start):
                await faults
            else:
                self._listener.say("something is wrong: no more faults (--keep-going goes on)")
        finally:
            faults.cancel()
            await director.give_up()

    async def _time_passes(self, start: float) -> bool:
        """False as soon as something is wrong, True after the duration."""
        next_check = start + CHECK_INTERVAL
        while (now := self._recorder.now()) < start + self._options.duration:
            self._listener.progress(now - start, self._history)
            if now >= next_check and not self._options.keep_going:
                if check(self._history):
                    return False
                next_check = self._recorder.now() + CHECK_INTERVAL
            await asyncio.sleep(POLL)
        return True

    def _reset(self, client: Client) -> bool:
        return any(proxy.reset(client.port) for proxy in self._proxies)


def _url(port: int, secured: Secured | None) -> str:
    return f"{'ws' if secured is None else 'wss'}://127.0.0.1:{port}/"
