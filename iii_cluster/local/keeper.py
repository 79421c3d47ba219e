"""The lives of one child: when it is started again, when it is not, and its last end."""

import asyncio
from collections.abc import Callable, Iterable

from .child import Child, Ready

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


class Keeper:
    """Starts a child, and again whenever it dies, until `end`. A role that ends by itself with status 0 was drained."""

    def __init__(self, child: Child, say: Callable[[str], None]) -> None:
        self.child = child
        self.drained = False
        self._say = say
        self._over = asyncio.Event()  # no further life
        self._asked = False  # its process got its SIGTERM; a second one would cut its drain short
        self._lives: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.child.spec.name

    async def start(self) -> Ready:
        """The first life; returns when the child is ready. Raises StartFailed if it ends before that."""
        try:
            await self.child.launch()
        except OSError as error:
            raise StartFailed(f"{self.name} cannot be started: {error}") from None
        started = asyncio.get_running_loop().time()
        ended = asyncio.create_task(self.child.wait_end())
        ready = asyncio.create_task(self.child.wait_ready())
        try:
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                return ready.result()
            raise StartFailed(f"{self.name} {describe_end(ended.result())} before it was ready", self.child.tail)
        finally:
            ready.cancel()
            if not ended.done() or ready.done():
                self._lives = asyncio.create_task(self._keep(ended, started))

    def persist(self) -> None:
        """After a start that failed: try again, as with a child that died later."""
        if self._lives is None:
            now = asyncio.get_running_loop().time()
            self._lives = asyncio.create_task(self._keep(asyncio.create_task(self._relaunch()), now))

    def last_life(self) -> None:
        """The child is not started again when it ends."""
        self._over.set()

    async def end(self, within: float) -> bool:
        """SIGTERM, and SIGKILL after `within` seconds; returns whether it had to be killed."""
        self.last_life()
        if not self._asked:
            self._asked = True
            self.child.terminate()
        if self._lives is None:
            return False
        done, _ = await asyncio.wait({self._lives}, timeout=within)
        if done:
            return False
        self.child.kill()
        await asyncio.wait({self._lives})
        return True

    async def _keep(self, ended: asyncio.Task[int], started: float) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            status = await ended
            if self._over.is_set():
                return
            if status == 0 and self.child.spec.is_role:
                self.drained = True
                self._say(f"{self.name} was drained; `iii-cluster restart` starts it again")
                return
            delay = backoff.after(loop.time() - started)
            self._say(f"{self.name} {describe_end(status)}; starting it again in {delay:g} s")
            if await self._over_within(delay):
                return
            started = loop.time()
            ended = asyncio.create_task(self._relaunch())

    async def _relaunch(self) -> int:
        """One more life of the child; returns its exit status."""
        try:
            await self.child.launch()
        except OSError as error:
            self._say(f"{self.name} cannot be started: {error}")
            return 1
        if self._asked:  # in between
            self.child.terminate()
        welcome = asyncio.create_task(self._welcome())
        try:
            return await self.child.wait_end()
        finally:
            welcome.cancel()

    async def _welcome(self) -> None:
        ready = await self.child.wait_ready()
        self._say(f"{self.name} is back as {ready.id}, process {ready.pid}")

    async def _over_within(self, delay: float) -> bool:
        try:
            await asyncio.wait_for(self._over.wait(), delay)
        except TimeoutError:
            return False
        return True


def describe_end(status: int) -> str:
    """A process' exit status in words."""
    return f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
