"""A history made searchable: who owned what, who was connected where, at which moment."""

from collections import defaultdict
from collections.abc import Iterable

from iii_cluster.chaos.history import OK, OPEN, Call, Connection, History, Registration
from iii_cluster.chaos.limits import EDGE

FOREVER = float("inf")


def end(moment: float) -> float:
    return FOREVER if moment == OPEN else moment


class Index:
    def __init__(self, history: History) -> None:
        self.history = history
        self.connections: dict[int, Connection] = {c.id: c for c in history.connections}
        self.registrations: dict[str, list[Registration]] = defaultdict(list)
        for registration in history.registrations:
            self.registrations[registration.function].append(registration)
        self._first_ok: dict[tuple[int, str], float] = {}
        for call in history.calls:
            if call.outcome == OK:
                key = (call.connection, call.function)
                self._first_ok[key] = min(self._first_ok.get(key, FOREVER), call.ended)

    def gateway(self, call: Call) -> str:
        """The process the caller was connected to."""
        return self.connections[call.connection].gateway

    def client(self, call: Call) -> str:
        return self.connections[call.connection].client

    def gone(self, registration: Registration) -> float:
        """When it ended, by itself or with its connection."""
        return min(end(registration.until), end(self.connections[registration.connection].closed))

    def owners(self, function: str, since: float, until: float) -> Iterable[Connection]:
        """Connections that had registered the function at some moment of that time."""
        for registration in self.registrations.get(function, ()):
            if registration.since <= until and self.gone(registration) >= since:
                yield self.connections[registration.connection]

    def owners_throughout(self, function: str, since: float, until: float) -> Iterable[Connection]:
        """Connections that surely served the function all that time: confirmed before it, not ended in it."""
        for registration in self.registrations.get(function, ()):
            # Who asked may have been told a moment before others are.
            known = FOREVER if registration.confirmed == OPEN else registration.confirmed + EDGE
            if known <= since and self.gone(registration) > until:
                yield self.connections[registration.connection]

    def cached(self, call: Call) -> bool:
        """The caller's gateway had the route: the same connection had called the function before."""
        return self._first_ok.get((call.connection, call.function), FOREVER) <= call.began
