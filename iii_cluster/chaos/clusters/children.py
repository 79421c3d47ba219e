"""Child processes that are broken on purpose and started again."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable

from iii_cluster.local.child import Child, ChildSpec, Ready

AWAY = 0.2  # s until one that ended without being asked is started again


class NotStarted(Exception):
    """A child did not become ready; says which one, and the end of what it wrote."""


class Children:
    """Unlike the supervisor of `up` it starts a child again after the time it was told, however often it died."""

    def __init__(self, on_output: Callable[[str, str], None]) -> None:
        self._on_output = on_output
        self._kept: dict[str, _Kept] = {}
        # Children hold the reading end: when we die, however, it ends for all of them.
        self._lifeline_read, self._lifeline_write = os.pipe()

    async def start(self, specs: Iterable[ChildSpec], within: float) -> None:
        """Returns when all are ready. Raises NotStarted."""
        new = [_Kept(Child(spec, self._lifeline_read, self._on_output)) for spec in specs]
        for kept in new:
            try:
                await kept.child.launch()
            except OSError as error:
                raise NotStarted(f"{kept.child.spec.name} cannot be started: {error}") from None
            kept.task = asyncio.create_task(kept.run())
            self._kept[kept.child.spec.name] = kept
        for kept in new:
            await _first_ready(kept, within)

    def ready(self, name: str) -> Ready | None:
        """What the child said when it was ready; None while it does not serve."""
        child = self._kept[name].child
        return child.ready if child.running else None

    @property
    def names(self) -> list[str]:
        return list(self._kept)

    def signal(self, name: str, number: signal.Signals) -> None:
        ready = self.ready(name)
        if ready is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(ready.pid, number)

    def kill(self, name: str, away: float) -> None:
        self._kept[name].leave(away)
        self._kept[name].child.kill()

    def terminate(self, name: str, away: float) -> None:
        self._kept[name].leave(away)
        self._kept[name].child.terminate()

    async def back(self, name: str) -> None:
        await self._kept[name].serves.wait()

    async def stop(self, within: float) -> None:
        """Ends all children, stage by stage; who does not end `within` seconds is killed."""
        everybody = self._kept.values()
        for kept in everybody:
            kept.stopping.set()
        for stage in sorted({kept.child.spec.stage for kept in everybody}):
            members = {kept.task: kept.child for kept in everybody if kept.child.spec.stage == stage}
            for child in members.values():
                child.terminate()
            _, late = await asyncio.wait(members, timeout=within)
            for task in late:
                members[task].kill()
            await asyncio.gather(*members, return_exceptions=True)
        os.close(self._lifeline_write)
        os.close(self._lifeline_read)


class _Kept:
    """A child that was started, and the task that starts it again."""

    task: asyncio.Task[None]

    def __init__(self, child: Child) -> None:
        self.child = child
        self.serves = asyncio.Event()
        self.stopping = asyncio.Event()
        self._away = AWAY

    def leave(self, away: float) -> None:
        self._away = away
        self.serves.clear()

    async def run(self) -> None:
        while True:
            await self._one_life()
            self.serves.clear()
            away, self._away = self._away, AWAY
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), away)
            if self.stopping.is_set():
                return
            await self.child.launch()
            if self.stopping.is_set():
                self.child.terminate()

    async def _one_life(self) -> None:
        ready = asyncio.create_task(self.child.wait_ready())
        ended = asyncio.create_task(self.child.wait_end())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and not ended.done():
                self.serves.set()
            await ended
        finally:
            ready.cancel()


async def _first_ready(kept: _Kept, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await kept.serves.wait()
    except TimeoutError:
        tail = "\n".join(kept.child.tail)
        raise NotStarted(f"{kept.child.spec.name} was not ready within {within:g} s\n{tail}") from None
