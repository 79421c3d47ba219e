"""Keeps a set of child processes running, replaces them, and ends them in order."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Struct

from .child import Child, ChildSpec, Ready
from .keeper import Keeper, StartFailed

GIVE_UP_WITHIN = 5.0  # s a child that never got ready may take to end before it is killed


class Successor(Struct, frozen=True):
    """A child that took the place of another; `killed`: the old one had to be."""

    ready: Ready
    killed: bool


Explain = Callable[[ChildSpec], Awaitable[str]]  # why a child that runs is not ready, "" if that is not known


class Supervisor:
    """`say` gets sentences for the operator, `on_output` a child's name and each line it writes.

    `explain` is asked about a child that stays silent for too long.
    """

    def __init__(self, say: Callable[[str], None], on_output: Callable[[str, str], None]) -> None:
        self.keepers: list[Keeper] = []
        self._say = say
        self._on_output = on_output
        self.explain: Explain | None = None
        # Children hold the reading end: when we die, however, it ends for all of them.
        self._lifeline_read, self._lifeline_write = os.pipe()

    @property
    def children(self) -> list[Child]:
        return [keeper.child for keeper in self.keepers]

    def roles(self) -> list[Keeper]:
        """Our own processes, in the order they were started, and those that were drained."""
        return [keeper for keeper in self.keepers if keeper.child.spec.is_role]

    async def start(self, specs: Iterable[ChildSpec], within: float) -> list[Ready]:
        """Start children and wait until all are ready; from then on they are restarted. Raises StartFailed."""
        keepers = [self._keeper(spec) for spec in specs]
        self.keepers += keepers
        waits = [asyncio.create_task(keeper.start()) for keeper in keepers]
        ready: list[Ready] = []
        try:
            async with asyncio.timeout(within):
                ready = await asyncio.gather(*waits)
        except TimeoutError:
            raise await self._late([keeper for keeper in keepers if keeper.child.ready is None], within) from None
        finally:
            if len(ready) < len(keepers):
                for keeper in self.keepers:  # a failed start ends in `stop`
                    keeper.last_life()
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return ready

    async def replace(self, old: Keeper, spec: ChildSpec, start_within: float, stop_within: float) -> Successor:
        """Make before break: end `old` when its successor is ready. Raises StartFailed, and `old` goes on."""
        new = self._keeper(spec)
        self.keepers.insert(self.keepers.index(old), new)
        try:
            ready = await self._started(new, start_within)
        except StartFailed:
            await new.end(GIVE_UP_WITHIN)
            self.keepers.remove(new)
            raise
        killed = await old.end(stop_within)
        self.keepers.remove(old)
        return Successor(ready, killed)

    async def renew(self, old: Sequence[Keeper], start_within: float, stop_within: float) -> list[Successor]:
        """Break before make: end all of these, stage by stage, then start all of them again.

        Raises StartFailed for the first that does not get ready; that one is tried again like any that dies.
        """
        killed = await _end_in_order(old, stop_within)
        new = [self._keeper(keeper.child.spec) for keeper in old]
        for before, after in zip(old, new, strict=True):
            self.keepers[self.keepers.index(before)] = after
        results = await asyncio.gather(*(self._started(keeper, start_within) for keeper in new), return_exceptions=True)
        for keeper, result in zip(new, results, strict=True):
            if isinstance(result, StartFailed):
                keeper.persist()
        replaced = []
        for keeper, result in zip(old, results, strict=True):
            if isinstance(result, BaseException):
                raise result
            replaced.append(Successor(result, keeper.name in killed))
        return replaced

    async def stop(self, within: float) -> list[str]:
        """End all children, stage by stage, each `within` seconds; returns the names of those that had to be killed."""
        killed = await _end_in_order(self.keepers, within)
        os.close(self._lifeline_write)
        os.close(self._lifeline_read)
        return killed

    def kill(self) -> None:
        """End all children at once; `stop` still has to be awaited."""
        for child in self.children:
            child.kill()

    def _keeper(self, spec: ChildSpec) -> Keeper:
        return Keeper(Child(spec, self._lifeline_read, self._on_output), self._say)

    async def _started(self, keeper: Keeper, within: float) -> Ready:
        try:
            async with asyncio.timeout(within):
                return await keeper.start()
        except TimeoutError:
            raise await self._late([keeper], within) from None

    async def _late(self, keepers: Sequence[Keeper], within: float) -> StartFailed:
        """That these are not ready, and why, while they still run and can be asked."""
        names = ", ".join(keeper.name for keeper in keepers)
        first = keepers[0].child
        why = await self.explain(first.spec) if self.explain is not None and first.spec.is_role else ""
        told = f": {first.spec.name} says: {why}" if why and len(keepers) > 1 else f": {why}" if why else ""
        return StartFailed(f"{names}: not ready within {within:g} s{told}", first.tail)


async def _end_in_order(keepers: Sequence[Keeper], within: float) -> list[str]:
    """Names of those that had to be killed."""
    for keeper in keepers:
        keeper.last_life()
    killed: list[str] = []
    for stage in sorted({keeper.child.spec.stage for keeper in keepers}):
        members = [keeper for keeper in keepers if keeper.child.spec.stage == stage]
        late = await asyncio.gather(*(keeper.end(within) for keeper in members))
        killed += [keeper.name for keeper, was_killed in zip(members, late, strict=True) if was_killed]
    return killed
