"""Calls made all the time while something is done to the cluster, and what became of each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from tests.support.raw import CallFailed


class Caller(Protocol):
    async def call(self, function_id: str, data: Any = None, *, within: float = ...) -> Any:
        """The result of a call; raises CallFailed for an error."""


class History:
    """Outcomes of numbered calls; a call whose answer is not its own number is an outcome of its own."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed: list[Any] = []
        self.mixed_up: list[tuple[int, Any]] = []
        self._moved = asyncio.Condition()

    async def record(self, number: int, caller: Caller, function: str) -> None:
        try:
            answer = await caller.call(function, {"n": number}, within=30)
        except CallFailed as failure:
            self.failed.append(failure.error)
        else:
            if answer["n"] != number:
                self.mixed_up.append((number, answer))
            self.answered += 1
        async with self._moved:
            self._moved.notify_all()

    async def more(self, count: int = 50) -> None:
        """Returns when `count` more calls have been answered."""
        goal = self.answered + count
        async with self._moved, asyncio.timeout(30):
            await self._moved.wait_for(lambda: self.answered >= goal)


@asynccontextmanager
async def calling(caller: Caller, function: str, at_once: int = 4) -> AsyncIterator[History]:
    """Keeps `at_once` calls in flight; on exit every call has ended."""
    history = History()
    stopped = False

    async def loop(first: int) -> None:
        number = first
        while not stopped:
            await history.record(number, caller, function)
            number += at_once

    tasks = [asyncio.create_task(loop(first)) for first in range(at_once)]
    try:
        yield history
    finally:
        stopped = True
        await asyncio.gather(*tasks)
