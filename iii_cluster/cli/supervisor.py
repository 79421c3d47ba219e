"""Keeps a set of child processes running, and ends them in order."""

import asyncio
import os
from collections.abc import Callable, Iterable

from .child import Child, ChildSpec, Ready

FIRST_DELAY = 0.2  # s before a dead child is started again
LONGEST_DELAY = 10.0  # s
HEALTHY_AFTER = 30.0  # s alive after which the delay starts over


class StartFailed(Exception):
    """A child ended, or stayed silent, before it was ready; `tail` is the end of its output."""

    def __init__(self, message: str, tail: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.tail = list(tail)


class Backoff:
    """Doubling delays between restarts."""

    def __init__(self) -> None:
        self._next = FIRST_DELAY

    def after(self, alive: float) -> float:
        """The delay before the next start of a child that was alive for so many seconds."""
        if alive >= HEALTHY_AFTER:
            self._next = FIRST_DELAY
        delay = self._next
        self._next = min(delay * 2, LONGEST_DELAY)
        return delay


class Supervisor:
    """`say` gets sentences for the operator, `on_output` a child's name and each line it writes."""

    def __init__(self, say: Callable[[str], None], on_output: Callable[[str, str], None]) -> None:
        self.children: list[Child] = []
        self._say = say
        self._on_output = on_output
        self._tasks: dict[Child, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        # Children hold the reading end: when we die, however, it ends for all of them.
        self._lifeline_read, self._lifeline_write = os.pipe()

    async def start(self, specs: Iterable[ChildSpec], within: float) -> list[Ready]:
        """Start children and wait until all are ready; from then on they are restarted. Raises StartFailed."""
        children = [Child(spec, self._lifeline_read, self._on_output) for spec in specs]
        self.children += children
        waits = [asyncio.create_task(self._first_start(child)) for child in children]
        ready: list[Ready] = []
        try:
            async with asyncio.timeout(within):
                ready = await asyncio.gather(*waits)
        except TimeoutError:
            late = [child for child in children if child.ready is None]
            names = ", ".join(child.spec.name for child in late)
            raise StartFailed(f"{names}: not ready within {within:g} s", late[0].tail) from None
        finally:
            if len(ready) < len(children):
                self._stopping.set()  # nothing is restarted any more: a failed start ends in `stop`
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return ready

    async def stop(self, within: float) -> list[str]:
        """End all children, stage by stage, each `within` seconds; returns the names of those that had to be killed."""
        self._stopping.set()
        killed = []
        for stage in sorted({child.spec.stage for child in self.children}):
            members = [child for child in self.children if child.spec.stage == stage]
            for child in members:
                child.terminate()
            tasks = [self._tasks[child] for child in members if child in self._tasks]
            if not tasks:
                continue
            _, pending = await asyncio.wait(tasks, timeout=within)
            if pending:
                late = [child for child in members if child.running]
                killed += [child.spec.name for child in late]
                for child in late:
                    child.kill()
                await asyncio.wait(pending)
        os.close(self._lifeline_write)
        os.close(self._lifeline_read)
        return killed

    def kill(self) -> None:
        """End all children at once; `stop` still has to be awaited."""
        for child in self.children:
            child.kill()

    async def _first_start(self, child: Child) -> Ready:
        try:
            await child.launch()
        except OSError as error:
            raise StartFailed(f"{child.spec.name} cannot be started: {error}") from None
        started = asyncio.get_running_loop().time()
        ended = asyncio.create_task(child.wait_end())
        ready = asyncio.create_task(child.wait_ready())
        try:
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                return ready.result()
            how = describe_end(ended.result())
            raise StartFailed(f"{child.spec.name} {how} before it was ready", child.tail)
        finally:
            ready.cancel()
            if not ended.done() or ready.done():
                self._tasks[child] = asyncio.create_task(self._keep(child, ended, started))

    async def _keep(self, child: Child, ended: asyncio.Task[int], started: float) -> None:
        """Restart the child whenever it ends, until everything stops."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            status = await ended
            if self._stopping.is_set():
                return
            delay = backoff.after(loop.time() - started)
            self._say(f"{child.spec.name} {describe_end(status)}; starting it again in {delay:g} s")
            if await self._stopped_within(delay):
                return
            started = loop.time()
            ended = asyncio.create_task(self._relaunch(child))

    async def _relaunch(self, child: Child) -> int:
        """One more life of a child; returns its exit status."""
        try:
            await child.launch()
        except OSError as error:
            self._say(f"{child.spec.name} cannot be started: {error}")
            return 1
        if self._stopping.is_set():
            child.terminate()
        welcome = asyncio.create_task(self._welcome(child))
        try:
            return await child.wait_end()
        finally:
            welcome.cancel()

    async def _welcome(self, child: Child) -> None:
        ready = await child.wait_ready()
        self._say(f"{child.spec.name} is back as {ready.id}, process {ready.pid}")

    async def _stopped_within(self, delay: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), delay)
        except TimeoutError:
            return False
        return True


def describe_end(status: int) -> str:
    """A process' exit status in words."""
    return f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
