"""Calls at a steady pace."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from iii_cluster.chaos.history import FIRST

from .client import Client
from .pace import beats

SLOW = 0.1  # share of calls that take a while, so that there are some in flight at any moment
LONGEST_WAIT = 0.4  # s
MOST_PENDING = 500  # calls of one caller in flight; then it waits like a user who gets no answers


class Choice(Struct, frozen=True):
    """Functions of one kind of call, and how often it is taken."""

    kind: str
    functions: tuple[str, ...]
    weight: int


class Caller:
    """`fresh` are functions nobody has called, shared by all callers; each is called once."""

    def __init__(self, client: Client, choices: Sequence[Choice], fresh: Iterator[str], rate: float) -> None:
        self._client = client
        self._choices = choices
        self._weights = [choice.weight for choice in choices]
        self._fresh = fresh
        self._rate = rate
        self._rng = client.rng

    async def run(self) -> None:
        async for _ in beats(self._rate):
            if len(self._client.pending) < MOST_PENDING:
                await self._call()

    async def _call(self) -> None:
        choice = self._rng.choices(self._choices, self._weights)[0]
        if self._client.connection is None:
            return
        if choice.kind == FIRST:
            function = next(self._fresh, "")
            if function:
                await self._client.call(FIRST, function)
            return
        data: dict[str, Any] = {}
        if self._rng.random() < SLOW:
            data["wait"] = round(self._rng.uniform(0.0, LONGEST_WAIT), 3)
        await self._client.call(choice.kind, self._rng.choice(choice.functions), **data)
