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

    __slots__ = ("_clock", "_filled_at", "_halted", "_later", "_rate", "_socket", "_tell", "_tokens")

    def __init__(
        self,
        socket: Halting,
        rate: int,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Any],
        tell: Callable[[], None],
    ) -> None:
        """`rate` per second, as many at once after a quiet one. `later(delay, do)` does something after so many s;
        `tell` is called each time the socket is not read any more."""
        self._socket = socket
        self._rate = rate
        self._clock = clock
        self._later = later
        self._tokens = float(rate)
        self._filled_at = clock()
        self._halted = False
        self._tell = tell

    def took(self) -> None:
        """One message was taken."""
        self._tokens -= 1
        if self._tokens < 0 and not self._halted:
            self._fill()
            if self._tokens < 0:
                self._halted = True
                self._tell()
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
