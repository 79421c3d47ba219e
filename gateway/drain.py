"""Who is sent away when, while a gateway drains. Pure: no clock, no sockets."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

# This many reconnects at once are no stampede; more are spread.
AT_ONCE = 300
# What part of the grace the departures are spread over, and after what part busy clients go whatever they can do.
_SPREAD = 1 / 3
_PATIENCE = 1 / 2
# How long a client that leaves may go on with what it serves (s): short enough to be back, with a reconnect of up to
# 1.3 s, before those who wait for its functions give up.
_FINISH = 0.5
# The end of the grace that is left for closing handshakes and late answers: a part of it, at most this long (s).
_LAST_PART = 1 / 10
_LAST = 1.0


class Client(Protocol):
    @property
    def busy(self) -> bool:
        """Calls of it, or on it, are in flight."""

    @property
    def serving(self) -> bool:
        """Calls on it are in flight."""

    @property
    def reattaches(self) -> bool:
        """It gets the answers to calls in flight on its next connection."""


C = TypeVar("C", bound=Client)


class Departures(Generic[C]):
    """The order in which `count` clients leave within `grace` seconds. Times are seconds since the drain began.

    A client is told nothing new first, and closed when it has finished what it serves: who calls it waits for nothing.
    """

    def __init__(self, count: int, grace: float) -> None:
        self._count = count
        self._grace = grace
        self._gone = 0
        self._leaving: dict[C, float] = {}

    def next(self, elapsed: float, clients: Iterable[C]) -> list[C]:
        """Those of `clients` (who are still there) that begin to leave: no new calls for them."""
        staying = [client for client in clients if client not in self._leaving]
        chosen = staying if self.last(elapsed) else self._choose(elapsed, staying)
        self._gone += len(chosen)
        self._leaving |= dict.fromkeys(chosen, elapsed)
        return chosen

    def closing(self, elapsed: float) -> list[C]:
        """Those of the leaving that are to be closed now."""
        ready = [
            client
            for client, since in self._leaving.items()
            if not client.serving or elapsed - since >= _FINISH or self.last(elapsed)
        ]
        for client in ready:
            del self._leaving[client]
        return ready

    def _choose(self, elapsed: float, clients: Iterable[C]) -> list[C]:
        room = self._allowed(elapsed) - self._gone
        chosen: list[C] = []
        for client in clients:
            if len(chosen) >= room:
                break
            if not client.busy or client.reattaches or elapsed >= self._grace * _PATIENCE:
                chosen.append(client)
        return chosen

    def last(self, elapsed: float) -> bool:
        """What has not ended by now is ended."""
        return elapsed >= self._grace - min(_LAST, self._grace * _LAST_PART)

    def _allowed(self, elapsed: float) -> int:
        """How many may have left by now."""
        return AT_ONCE + int(max(self._count - AT_ONCE, 0) * elapsed / (self._grace * _SPREAD))
