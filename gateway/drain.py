"""Who is sent away when, while a gateway drains. Pure: no clock, no sockets."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

# This many reconnects at once are no stampede; more are spread.
AT_ONCE = 300
# What part of the grace the departures are spread over, and after what part busy clients go whatever they can do.
_SPREAD = 1 / 3
_PATIENCE = 1 / 2
# The end of the grace that is left for closing handshakes and late answers: a part of it, at most this long (s).
_LAST_PART = 1 / 10
_LAST = 1.0


class Client(Protocol):
    @property
    def busy(self) -> bool:
        """Calls of it, or on it, are in flight."""

    @property
    def reattaches(self) -> bool:
        """It gets the answers to calls in flight on its next connection."""


C = TypeVar("C", bound=Client)


class Departures:
    """The order in which `count` clients leave within `grace` seconds."""

    def __init__(self, count: int, grace: float) -> None:
        self._count = count
        self._grace = grace
        self._gone = 0

    def next(self, elapsed: float, clients: Iterable[C]) -> list[C]:
        """Those of `clients` (who are still there) that go `elapsed` seconds after the drain began."""
        if elapsed >= self._grace - min(_LAST, self._grace * _LAST_PART):
            return list(clients)
        room = self._allowed(elapsed) - self._gone
        chosen: list[C] = []
        for client in clients:
            if len(chosen) >= room:
                break
            if not client.busy or client.reattaches or elapsed >= self._grace * _PATIENCE:
                chosen.append(client)
        self._gone += len(chosen)
        return chosen

    def _allowed(self, elapsed: float) -> int:
        """How many may have left by now."""
        return AT_ONCE + int(max(self._count - AT_ONCE, 0) * elapsed / (self._grace * _SPREAD))
