"""How many messages of one socket are taken per second: a token bucket.

Beyond it the socket is not read for a while, so its sender waits; nothing is dropped.
"""

from collections.abc import Callable
from typing import Any, Protocol


class Halting(Protocol):
    def pause(self) -> None: ...

    def resume(self) -> None: ...


class MessageRate:
    """Called with every message; those that were read already go on all the same, and are made up for."""

    __slots__ = ("_clock", "_filled_at", "_halted", "_later", "_rate", "_socket", "_tokens", "halts")

    def __init__(
        self,
        socket: Halting,
        rate: int,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Any],
    ) -> None:
        """`rate` per second, and as many again at once; `later(delay, do)` runs something after so many seconds."""
        self._socket = socket
        self._rate = rate
        self._clock = clock
        self._later = later
        self._tokens = float(rate)
        self._filled_at = clock()
        self._halted = False
        self.halts = 0

    def took(self) -> None:
        """One message was taken."""
        self._tokens -= 1
        if self._tokens < 0 and not self._halted:
            self._fill()
            if self._tokens < 0:
                self._halted = True
                self.halts += 1
                self._socket.pause()
                self._later(-self._tokens / self._rate, self._go_on)

    def _go_on(self) -> None:
        self._fill()
        if self._tokens < 0:
            self._later(-self._tokens / self._rate, self._go_on)
        else:
            self._halted = False
            self._socket.resume()

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(float(self._rate), self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
