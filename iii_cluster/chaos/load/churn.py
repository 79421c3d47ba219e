"""Registrations and workers that come and go."""

import asyncio
import itertools
import random
from collections.abc import Callable
from contextlib import suppress

from iii_cluster.chaos.history import CHURN, OK

from .client import Client, echo
from .names import Names
from .triggers import trigger

KEEP = (0.5, 2.5)  # s a registration or a visit lasts
BETWEEN = (0.1, 0.8)  # s
CALL_INTERVAL = 0.1  # s between two calls of one that is not known yet
MOST_CALLS = 20


class Churner:
    """Registers a function and a trigger, has the function called from elsewhere until it is known, takes both back."""

    def __init__(self, client: Client, caller: Client, names: Names, number: int, trigger_type: str) -> None:
        self._client = client
        self._caller = caller
        self._names = names
        self._number = number
        self._type = trigger_type
        self._stopping = False

    def stop(self) -> None:
        """`run` returns when it has taken back what it registered."""
        self._stopping = True

    async def run(self) -> None:
        rng = self._client.rng
        for count in itertools.count():
            if self._stopping:
                return
            function = self._names.function(CHURN, self._number, count)
            await self._client.register(function, echo)
            added = trigger(rng, self._type, function)
            await self._client.add_trigger(added)
            self._client.confirm_soon()
            await self._call(function)
            await asyncio.sleep(rng.uniform(*KEEP))
            await self._client.remove_trigger(added["id"])
            await self._client.unregister(function)
            await asyncio.sleep(rng.uniform(*BETWEEN))

    async def _call(self, function: str) -> None:
        for _ in range(MOST_CALLS):
            if self._stopping:
                return
            future = await self._caller.call(CHURN, function)
            if future is not None and (await future)[0] == OK:
                return
            await asyncio.sleep(CALL_INTERVAL)


class Visitor:
    """Workers that connect, register, and leave: half of them without a word."""

    def __init__(self, make: Callable[[str], Client], names: Names, number: int, rng: random.Random, type: str) -> None:
        self._make = make
        self._names = names
        self._number = number
        self._rng = rng
        self._type = type

    async def run(self) -> None:
        for count in itertools.count():
            client = self._make(self._names.worker("visitor", self._number, count))
            for part in range(3):
                client.functions[self._names.function("visit", self._number, count, part)] = echo
            added = trigger(self._rng, self._type, next(iter(client.functions)))
            client.triggers[added["id"]] = added
            await self._visit(client)
            await asyncio.sleep(self._rng.uniform(*BETWEEN))

    async def _visit(self, client: Client) -> None:
        staying = asyncio.create_task(client.run())
        try:
            await asyncio.sleep(self._rng.uniform(*KEEP))
        finally:
            try:
                await client.leave(abruptly=self._rng.random() < 0.5)
            finally:  # the closing handshake may be cut short, and it would be back a second later
                staying.cancel()
                with suppress(asyncio.CancelledError):
                    await staying
