"""How late the loop of this process is."""

import asyncio
import time

from .worst import Worst

INTERVAL = 0.1  # s between looks
WINDOW = 5.0  # s; a lag is told for one to two of them


class LoopLag:
    """A timer that knows when it was due. Costs some microseconds per look."""

    def __init__(self) -> None:
        self._worst = Worst(WINDOW)
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._set(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def seconds(self) -> float:
        """The worst of the last 5 to 10 s."""
        return self._worst.get(time.monotonic())

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = time.monotonic() + INTERVAL  # the loop's own clock stands still while it is busy
        self._timer = loop.call_later(INTERVAL, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        self._worst.put(max(0.0, now - self._due), now)
        self._set(loop)
