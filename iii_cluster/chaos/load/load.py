"""All workers of a run together."""

import asyncio
import random
from collections.abc import Iterator, Sequence

from msgspec import Struct

from iii_cluster.chaos.history import FIRST, LOCAL, REMOTE, REPLICATED, SINGLE
from iii_cluster.chaos.limits import CALL
from iii_cluster.chaos.recorder import Recorder

from .caller import Caller, Choice
from .churn import Churner, Visitor
from .client import Client, echo
from .door import Door
from .names import Names
from .triggers import Provider, trigger, watch

FUNCTIONS = 4  # of each steady kind and owner
TRIGGERS = 5  # of each owner of single functions
SWEEP = 0.5  # s between two looks for calls to give up
FIRE_RATE = 5.0  # triggers per second
PINNED_SHARE = 0.8  # of the calls, made by callers that stay at their gateway
WEIGHTS = {REPLICATED: 35, SINGLE: 20, LOCAL: 15, REMOTE: 20, FIRST: 10}
MOST_FRESH = 2_000  # functions to be called for the first time, of one owner


class Sizes(Struct, frozen=True, kw_only=True):
    """`rate` is calls per second of all callers together."""

    rate: float
    duration: float

    def fresh(self, gateways: int) -> int:
        """Functions each library has: enough for the whole run and the time around it."""
        share = WEIGHTS[FIRST] / sum(WEIGHTS.values())
        return min(MOST_FRESH, round(self.rate * share * (self.duration + 20) / gateways) + 10)


class Load:
    """`doors` has one way in per gateway."""

    def __init__(self, doors: Sequence[Door], recorder: Recorder, *, seed: int, sizes: Sizes) -> None:
        self.recorder = recorder
        self.names = Names(seed)
        self.clients: list[Client] = []
        self.residents: list[Client] = []  # one that stays at each gateway
        self._doors = doors
        self._seed = seed
        self._sizes = sizes
        self._callers: list[Caller] = []
        self._churners: list[Churner] = []
        self._visitors: list[Visitor] = []
        self._connecting: list[asyncio.Task[None]] = []
        self._calling: list[asyncio.Task[None]] = []
        self._churning: list[asyncio.Task[None]] = []
        self._visiting: list[asyncio.Task[None]] = []
        for gateway in range(len(doors)):
            self._own(gateway)
        provider = self._client("provider", 0, pinned=False, prefix=self.names.group("provider"))
        self.provider = Provider(provider, self._type, FIRE_RATE)
        fresh = iter([function for owner in self.clients for function in owner.functions if f"::{FIRST}::" in function])
        for gateway in range(len(doors)):
            self._use(gateway, fresh)

    # Building

    def _client(self, kind: str, gateway: int, *, pinned: bool, prefix: str) -> Client:
        client = self._new(self.names.worker(kind, gateway), gateway, pinned, prefix)
        self.clients.append(client)
        return client

    def _new(self, name: str, gateway: int, pinned: bool, prefix: str) -> Client:
        """At its own gateway; one that is not pinned takes the next when that does not answer."""
        doors = [self._doors[gateway]] if pinned else [*self._doors[gateway:], *self._doors[:gateway]]
        return Client(name, doors, self.recorder, random.Random(f"{self._seed} {name}"), prefix)

    def _own(self, gateway: int) -> None:
        """Who serves functions at a gateway."""
        names = self.names
        replica = self._client(REPLICATED, gateway, pinned=True, prefix=names.group(REPLICATED))
        _serve(replica, self._replicated())
        single = self._client(SINGLE, gateway, pinned=False, prefix=names.group(SINGLE, gateway))
        _serve(single, self._of(SINGLE, gateway))
        pair = self._client("pair", gateway, pinned=True, prefix=names.group("pair", gateway))
        _serve(pair, self._of("pair", gateway))
        library = self._client("library", gateway, pinned=False, prefix=names.group(FIRST, gateway))
        count = self._sizes.fresh(len(self._doors))
        _serve(library, [names.function(FIRST, gateway, number) for number in range(count)])
        watcher = self._client("watcher", gateway, pinned=True, prefix=names.group("watch", gateway))
        watch(watcher, names.function("watch", gateway, "told"))
        for number in range(TRIGGERS):
            added = trigger(single.rng, self._type, self._of(SINGLE, gateway)[number % FUNCTIONS])
            single.triggers[added["id"]] = added

    def _use(self, gateway: int, fresh: Iterator[str]) -> None:
        """Who calls from a gateway, and who comes and goes there."""
        gateways = len(self._doors)
        choices = [
            Choice(REPLICATED, tuple(self._replicated()), WEIGHTS[REPLICATED]),
            Choice(SINGLE, tuple(f for g in range(gateways) for f in self._of(SINGLE, g)), WEIGHTS[SINGLE]),
            Choice(LOCAL, tuple(self._of("pair", gateway)), WEIGHTS[LOCAL]),
            Choice(FIRST, (), WEIGHTS[FIRST]),
        ]
        if gateways > 1:
            others = tuple(f for g in range(gateways) if g != gateway for f in self._of("pair", g))
            choices.append(Choice(REMOTE, others, WEIGHTS[REMOTE]))
        resident = self._client("caller", gateway, pinned=True, prefix=self.names.group("caller", gateway))
        self.residents.append(resident)
        rate = self._sizes.rate / gateways
        self._callers.append(Caller(resident, choices, fresh, rate * PINNED_SHARE))
        roamer = self._client("roamer", gateway, pinned=False, prefix=self.names.group("roamer", gateway))
        anywhere = [choice for choice in choices if choice.kind not in (LOCAL, REMOTE)]
        self._callers.append(Caller(roamer, anywhere, fresh, rate * (1 - PINNED_SHARE)))
        churner = self._client("churner", gateway, pinned=False, prefix=self.names.group("churn", gateway))
        self._churners.append(Churner(churner, roamer, self.names, gateway, self._type))
        rng = random.Random(f"{self._seed} visitor {gateway}")

        def visitor(name: str) -> Client:
            return self._new(name, gateway, False, self.names.group("visit", gateway))

        self._visitors.append(Visitor(visitor, self.names, gateway, rng, self._type))

    def _replicated(self) -> list[str]:
        return [self.names.function(REPLICATED, number) for number in range(FUNCTIONS)]

    def _of(self, kind: str, gateway: int) -> list[str]:
        return [self.names.function(kind, gateway, number) for number in range(FUNCTIONS)]

    @property
    def _type(self) -> str:
        return self.names.function("tick")

    # Running

    def connect(self) -> None:
        self._connecting = [asyncio.create_task(client.run()) for client in self.clients]
        self._connecting.append(asyncio.create_task(self._give_up()))

    @property
    def warm(self) -> bool:
        """Every worker is connected and the cluster knows what it registered."""
        return not self.unknown

    @property
    def unknown(self) -> list[str]:
        """Workers that are not connected, or have registered what the cluster does not know yet."""
        return [client.name for client in self.clients if not client.confirmed]

    def start(self) -> None:
        self._calling = [asyncio.create_task(caller.run()) for caller in self._callers]
        self._calling.append(asyncio.create_task(self.provider.run()))
        self._churning = [asyncio.create_task(one.run()) for one in self._churners]
        self._visiting = [asyncio.create_task(one.run()) for one in self._visitors]

    async def settle(self) -> None:
        """Nothing comes or goes any more; the steady calls go on."""
        for churner in self._churners:
            churner.stop()
        await _end(self._visiting)
        await asyncio.wait(self._churning, timeout=CALL)

    async def stop_calling(self) -> None:
        await _end(self._calling)

    async def stop(self) -> None:
        await _end([*self._calling, *self._churning, *self._visiting, *self._connecting])

    @property
    def pending(self) -> int:
        return sum(len(client.pending) for client in self.clients)

    async def _give_up(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            for client in self.clients:
                client.pending.give_up(self.recorder.now())


def _serve(client: Client, functions: Sequence[str]) -> None:
    for function in functions:
        client.functions[function] = echo


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
