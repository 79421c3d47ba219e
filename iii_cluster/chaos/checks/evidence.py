"""A history and what can be looked up in it: who served what, and who was connected where, at which moment."""

from collections import defaultdict
from collections.abc import Iterable

from iii_cluster.chaos.history import FOREVER, OK, OPEN, Call, Connection, History, Registration, end
from iii_cluster.chaos.limits import EDGE

SLACK = 2  # times as long as this program was held up


class Evidence:
    def __init__(self, history: History) -> None:
        self.history = history
        self.ended = history.ended != OPEN  # what is still to come will not come any more
        self.connections: dict[int, Connection] = {c.id: c for c in history.connections}
        for v in history.visits:  # whoever asks over HTTP is looked up like a worker that calls
            visitor = Connection(id=v.id, client=v.client, gateway=v.gateway, worker="", opened=v.opened)
            self.connections[v.id] = visitor
        self.calls: dict[int, Call] = {call.n: call for call in history.calls}
        # When Redis lost what was in it.
        self.losses = [(one.began, max(end(one.over), end(one.healed))) for one in history.faults if one.forgot]
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

    def acknowledged(self, n: int) -> bool:
        """Call number `n` ended well."""
        return self.calls[n].outcome == OK

    def forgot(self, since: float, until: float) -> bool:
        """Redis lost its memory at some moment of that time."""
        return any(began - EDGE <= until and over + EDGE >= since for began, over in self.losses)

    def losses_before(self, moment: float) -> int:
        return sum(began <= moment for began, _ in self.losses)

    def name(self, call: Call) -> str:
        """The call as a violation names it."""
        who = f"{self.client(call)} at {self.gateway(call)}"
        return f"call {call.n} ({call.kind}) of {who} to {call.function}"

    def gone(self, registration: Registration) -> float:
        """When it ended, by itself or with its connection."""
        return min(end(registration.until), end(self.connections[registration.connection].closed))

    def over(self, registration: Registration) -> float:
        """The last moment at which the cluster could take it for one: whoever leaves is connected for a while."""
        connection = self.connections[registration.connection]
        if registration.until == connection.leaving:
            return max(registration.until, end(connection.closed))
        return end(registration.until)

    def owners(self, function: str, since: float, until: float) -> Iterable[Connection]:
        """Connections that had registered the function at some moment of that time."""
        for registration in self.registrations.get(function, ()):
            if registration.since <= until and self.gone(registration) >= since:
                yield self.connections[registration.connection]

    def owners_throughout(self, function: str, since: float, until: float) -> Iterable[Connection]:
        """Connections that surely served the function all that time: confirmed before it, not ended in it."""
        for registration in self.registrations.get(function, ()):
            # Its owner may have been told a moment before others are.
            if end(registration.confirmed) + EDGE <= since and self.gone(registration) > until:
                yield self.connections[registration.connection]

    def cached(self, call: Call) -> bool:
        """The caller's gateway had the route: the same connection had called the function before."""
        return self._first_ok.get((call.connection, call.function), FOREVER) <= call.began

    def slack(self, since: float, until: float) -> float:
        """Seconds that bounds are widened by in that time: they are about the cluster, not about a starved machine."""
        return SLACK * sum(late.seconds for late in self.history.late if since <= late.at <= until)
