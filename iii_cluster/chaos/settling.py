"""The end of a run: nothing comes or goes any more, everybody gets ready, every list becomes right, every call ends,
and everything has its effect."""

import asyncio
from collections.abc import Callable

from .history import Final
from .limits import CALL, SETTLE
from .load.load import Load
from .load.registry import listings
from .observer import Observer
from .recorder import Recorder

LONG = 5.0  # s until it is said what is waited for, and again
LOOK_INTERVAL = 0.5  # s between two looks at the registry
POLL = 0.05  # s


class Settling:
    """`say` is told what is waited for when it takes long."""

    def __init__(self, load: Load, observer: Observer, recorder: Recorder, say: Callable[[str], None]) -> None:
        self._load = load
        self._observer = observer
        self._recorder = recorder
        self._say = say
        self._wrong: list[Final] = []

    async def settle(self) -> None:
        """Notes in the history what never came right."""
        self._say("waiting for everything to settle")
        telling = asyncio.create_task(self._tell())
        try:
            await self._settle()
        finally:
            telling.cancel()

    async def _settle(self) -> None:
        load = self._load
        await load.settle()
        await holds(lambda: not self._observer.not_ready and load.warm, SETTLE)
        await self._registry()
        self._recorder.history.not_back += self._observer.not_ready
        await load.pause()
        await holds(lambda: not load.pending, CALL)
        await load.rest()

    async def _registry(self) -> None:
        deadline = self._recorder.now() + SETTLE
        while True:
            found = await listings(self._load)
            self._wrong = [final for final in found if final.expected != final.seen]
            if not self._wrong or self._recorder.now() > deadline:
                self._recorder.history.final += found
                return
            await asyncio.sleep(LOOK_INTERVAL)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(LONG)
            awaited = self.awaited()
            if awaited:
                self._say(f"still waiting for {'; '.join(awaited)}")

    def awaited(self) -> list[str]:
        """What is not as it has to be, in words."""
        words = [f"{one.process} ({'; '.join(one.reasons) or 'not ready'})" for one in self._observer.not_ready]
        unknown = self._load.unknown
        if unknown:
            words.append(f"{len(unknown)} workers to be connected and known, such as {unknown[0]}")
        words += [f"{final.what} as {final.gateway} lists them" for final in self._wrong]
        if not words and self._load.pending:
            words.append(f"{self._load.pending} calls to end")
        return words + self._load.awaited


async def holds(check: Callable[[], bool], within: float) -> bool:
    """Waits until `check` holds; False when it does not in that time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not check():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(POLL)
    return True
