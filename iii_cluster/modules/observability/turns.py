"""Long work in short turns: a query over many records must not keep the calls of others waiting."""

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")

# What a generator does between two `yield`s takes well under a millisecond; what it returns is the result.
Steps = Generator[None, None, T]

TURN = 0.002  # seconds of work before others have their turn
STEP = 256  # records between two yields
RUN = 1024  # records sorted at once


async def patiently(steps: Steps[T], clock: Callable[[], float] = time.perf_counter) -> T:
    """The result of `steps`, worked out in turns."""
    until = clock() + TURN
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if clock() >= until:
            await asyncio.sleep(0)
            until = clock() + TURN


def portions(items: Sequence[T], size: int = STEP) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def selected(items: Sequence[T], wanted: Callable[[T], bool]) -> Steps[list[T]]:
    kept: list[T] = []
    for portion in portions(items):
        kept += filter(wanted, portion)
        yield
    return kept


def page(items: Sequence[T], key: Callable[[T], Any], offset: int, limit: int, *, descending: bool) -> Steps[list[T]]:
    """`items[offset:offset + limit]` of all in order. Equal ones stay as they are."""
    runs: list[Iterable[T]] = []
    for portion in portions(items, RUN):
        runs.append(sorted(portion, key=key, reverse=descending))
        yield
    end = min(offset + limit, len(items))
    merged = merge(*runs, key=key, reverse=descending)
    taken: list[T] = []
    while len(taken) < end:
        taken += islice(merged, min(STEP, end - len(taken)))
        yield
    return taken[offset:]
