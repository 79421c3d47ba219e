"""Writes the history while it happens."""

import itertools
import time

from .effects import Viewing, Visit
from .history import Call, Connection, Execution, History, Injected, Registration, Stray, Told


class Recorder:
    """Counts seconds from when it was made."""

    def __init__(self, lease_ttl: float) -> None:
        self.history = History(lease_ttl=lease_ttl)
        self._origin = time.monotonic()
        self._wall = time.time()  # at that moment
        self._connections = itertools.count(1)
        self._calls = itertools.count(1)
        self._numbers = itertools.count(1)

    def now(self) -> float:
        return round(time.monotonic() - self._origin, 4)

    def at(self, wall: float) -> float:
        """The moment the clock on the wall showed that many seconds since 1970."""
        return round(wall - self._wall, 4)

    def wall(self, at: float) -> float:
        return self._wall + at

    def number(self) -> int:
        """One that was not given before, for a job or a message."""
        return next(self._numbers)

    def opened(self, client: str, gateway: str, worker: str) -> Connection:
        number = next(self._connections)
        made = Connection(id=number, client=client, gateway=gateway, worker=worker, opened=self.now())
        self.history.connections.append(made)
        return made

    def registered(self, connection: Connection, function: str, *, subscribed: bool) -> Registration:
        made = Registration(connection=connection.id, function=function, since=self.now(), subscribed=subscribed)
        self.history.registrations.append(made)
        return made

    def called(self, connection: Connection, kind: str, function: str) -> Call:
        made = Call(n=next(self._calls), kind=kind, function=function, connection=connection.id, began=self.now())
        self.history.calls.append(made)
        return made

    def executed(self, connection: Connection, n: int) -> None:
        self.history.executions.append(Execution(n=n, connection=connection.id, at=self.now()))

    def strayed(self, connection: Connection, text: str) -> None:
        self.history.strays.append(Stray(connection=connection.id, at=self.now(), text=text))

    def told(self, connection: Connection, event: str, worker: str) -> None:
        self.history.told.append(Told(connection=connection.id, at=self.now(), event=event, worker=worker))

    def viewing(self, viewer: str, gateway: str) -> Viewing:
        number = next(self._connections)
        made = Viewing(id=number, viewer=viewer, gateway=gateway, opened=self.now())
        self.history.viewings.append(made)
        return made

    def visiting(self, client: str, gateway: str) -> Visit:
        made = Visit(id=next(self._connections), client=client, gateway=gateway, opened=self.now())
        self.history.visits.append(made)
        return made

    def injected(self, index: int, kind: str) -> Injected:
        made = Injected(index=index, kind=kind, began=self.now())
        self.history.faults.append(made)
        return made
