"""Workers that call each other's functions, register and take back, come and go."""

import asyncio
from collections.abc import Iterator, Sequence

from msgspec import Struct

from iii_cluster.chaos.history import FIRST, LOCAL, REMOTE, REPLICATED, SINGLE
from iii_cluster.chaos.limits import CALL

from .caller import Caller, Choice
from .churn import Churner, Visitor
from .client import Client, echo
from .crew import Crew
from .tasks import end
from .triggers import Provider, trigger, watch

FUNCTIONS = 4  # of each steady kind and owner
TRIGGERS = 5  # of each owner of single functions
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


class Calls:
    def __init__(self, crew: Crew, sizes: Sizes) -> None:
        self.residents: list[Client] = []  # one that stays at each gateway
        self._crew = crew
        self._names = crew.names
        self._sizes = sizes
        self._callers: list[Caller] = []
        self._churners: list[Churner] = []
        self._visitors: list[Visitor] = []
        self._calling: list[asyncio.Task[None]] = []
        self._churning: list[asyncio.Task[None]] = []
        self._visiting: list[asyncio.Task[None]] = []
        for gateway in range(crew.gateways):
            self._own(gateway)
        provider = crew.client("provider", 0, pinned=False, prefix=self._names.group("provider"))
        self.provider = Provider(provider, self._type, FIRE_RATE)
        fresh = iter([function for owner in crew.clients for function in owner.functions if f"::{FIRST}::" in function])
        for gateway in range(crew.gateways):
            self._use(gateway, fresh)

    # Building

    def _own(self, gateway: int) -> None:
        """Who serves functions at a gateway."""
        crew, names = self._crew, self._names
        replica = crew.client(REPLICATED, gateway, pinned=True, prefix=names.group(REPLICATED))
        _serve(replica, self._replicated())
        single = crew.client(SINGLE, gateway, pinned=False)
        _serve(single, self._of(SINGLE, gateway))
        pair = crew.client("pair", gateway, pinned=True)
        _serve(pair, self._of("pair", gateway))
        library = crew.client("library", gateway, pinned=False, prefix=names.group(FIRST, gateway))
        count = self._sizes.fresh(crew.gateways)
        _serve(library, [names.function(FIRST, gateway, number) for number in range(count)])
        watcher = crew.client("watcher", gateway, pinned=True, prefix=names.group("watch", gateway))
        watch(watcher, names.function("watch", gateway, "told"))
        for number in range(TRIGGERS):
            added = trigger(single.rng, self._type, self._of(SINGLE, gateway)[number % FUNCTIONS])
            single.triggers[added["id"]] = added

    def _use(self, gateway: int, fresh: Iterator[str]) -> None:
        """Who calls from a gateway, and who comes and goes there."""
        crew, names, gateways = self._crew, self._names, self._crew.gateways
        choices = [
            Choice(REPLICATED, tuple(self._replicated()), WEIGHTS[REPLICATED]),
            Choice(SINGLE, tuple(f for g in range(gateways) for f in self._of(SINGLE, g)), WEIGHTS[SINGLE]),
            Choice(LOCAL, tuple(self._of("pair", gateway)), WEIGHTS[LOCAL]),
            Choice(FIRST, (), WEIGHTS[FIRST]),
        ]
        if gateways > 1:
            others = tuple(f for g in range(gateways) if g != gateway for f in self._of("pair", g))
            choices.append(Choice(REMOTE, others, WEIGHTS[REMOTE]))
        resident = crew.client("caller", gateway, pinned=True)
        self.residents.append(resident)
        rate = self._sizes.rate / gateways
        self._callers.append(Caller(resident, choices, fresh, rate * PINNED_SHARE))
        roamer = crew.client("roamer", gateway, pinned=False)
        anywhere = [choice for choice in choices if choice.kind not in (LOCAL, REMOTE)]
        self._callers.append(Caller(roamer, anywhere, fresh, rate * (1 - PINNED_SHARE)))
        churner = crew.client("churner", gateway, pinned=False, prefix=names.group("churn", gateway))
        self._churners.append(Churner(churner, roamer, names, gateway, self._type))

        def visitor(name: str) -> Client:
            return crew.visitor(name, gateway, names.group("visit", gateway))

        self._visitors.append(Visitor(visitor, names, gateway, crew.rng(f"visitor {gateway}"), self._type))

    def _replicated(self) -> list[str]:
        return [self._names.function(REPLICATED, number) for number in range(FUNCTIONS)]

    def _of(self, kind: str, gateway: int) -> list[str]:
        return [self._names.function(kind, gateway, number) for number in range(FUNCTIONS)]

    @property
    def _type(self) -> str:
        return self._names.function("tick")

    # Running

    def start(self) -> None:
        self._calling = [asyncio.create_task(caller.run()) for caller in self._callers]
        self._calling.append(asyncio.create_task(self.provider.run()))
        self._churning = [asyncio.create_task(one.run()) for one in self._churners]
        self._visiting = [asyncio.create_task(one.run()) for one in self._visitors]

    async def settle(self) -> None:
        """Nothing comes or goes any more; the steady calls go on."""
        for churner in self._churners:
            churner.stop()
        await end(self._visiting)
        if self._churning:
            await asyncio.wait(self._churning, timeout=CALL)

    async def pause(self) -> None:
        """No more calls."""
        await end(self._calling)

    async def stop(self) -> None:
        await end([*self._calling, *self._churning, *self._visiting])


def _serve(client: Client, functions: Sequence[str]) -> None:
    for function in functions:
        client.functions[function] = echo
