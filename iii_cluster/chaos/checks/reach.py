"""How far the effects of each fault reach: whose calls it may disturb, and until when."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from iii_cluster.chaos.faults.kinds import KINDS, Action, Kind, Target
from iii_cluster.chaos.history import (
    CHURN,
    FIRST,
    FOREVER,
    REPLICATED,
    TAG,
    UNANSWERED,
    Call,
    Connection,
    Injected,
    end,
)
from iii_cluster.chaos.limits import AFTER_LEASE, BARRIER, EDGE, RECONNECT
from iii_cluster.cluster.map import Role
from iii_cluster.protocol.errors import FUNCTION_NOT_FOUND, TIMEOUT

from .evidence import Evidence

EXPELLED_BEFORE = 3.0  # s a gateway that joined again may need to be known everywhere


class Window(Struct, kw_only=True, frozen=True):
    """`settled`: nobody fails any more who has another way. `until`: who depends on the victim alone serves again."""

    fault: Injected
    settled: float
    until: float
    alone: bool = True  # no other fault's effects came on top

    @property
    def kind(self) -> Kind:
        return KINDS[self.fault.kind]

    @property
    def began(self) -> float:
        return self.fault.began

    def covers(self, moment: float) -> bool:
        return self.began - EDGE <= moment <= self.until


def windows(evidence: Evidence) -> list[Window]:
    """One per fault that was carried out. Where faults overlap, their times add up."""
    single = [_window(fault, evidence) for fault in evidence.history.faults if not fault.skipped]
    return [_with_others(window, single, evidence.history.lease_ttl) for window in single]


def _window(fault: Injected, evidence: Evidence) -> Window:
    """A killed process is missed when its lease ends, whenever its successor comes; others when they are back."""
    over, lease_ttl = end(fault.over), evidence.history.lease_ttl
    lost = fault.began if KINDS[fault.kind].action is Action.KILL else over
    settled = lost + lease_ttl + AFTER_LEASE
    until = max(end(fault.healed), over) + lease_ttl + BARRIER + RECONNECT
    return Window(
        fault=fault,
        settled=settled + evidence.slack(fault.began, settled),
        until=until + evidence.slack(fault.began, until),
    )


def _with_others(window: Window, windows: Iterable[Window], lease_ttl: float) -> Window:
    others = [
        other
        for other in windows
        if other is not window and other.began <= window.settled and window.began <= other.settled
    ]
    if not others:
        return window
    more = lease_ttl + AFTER_LEASE
    settled = max(window.settled, *(other.settled for other in others)) + more
    until = max(window.until, *(other.until for other in others)) + more
    return msgspec.structs.replace(window, settled=settled, until=until, alone=False)


class Reach:
    """Which failures the faults explain."""

    def __init__(self, evidence: Evidence) -> None:
        self.windows = windows(evidence)
        self._evidence = evidence
        self._without: dict[str, list[float]] = {}  # when a map was seen without the gateway of that tag

    def given_up(self, owner: Connection, since: float) -> float:
        """The first moment from `since` on at which the cluster may have taken the connection for lost."""
        moments = [max(window.began, since) for window in self._windows_of(owner.gateway) if window.until >= since]
        moments += [
            max(at - EXPELLED_BEFORE, since) for at in self._maps_without(owner) if at + EXPELLED_BEFORE >= since
        ]
        return min(moments, default=FOREVER)

    def disturbed(self, owner: Connection, since: float, until: float) -> bool:
        """Its gateway, or its host, was hit or not over it at some moment of that time, or it was taken for dead."""
        return self._taken_for_dead(owner, since, until) or self.hit(owner.gateway, since, until)

    def hit(self, gateway: str, since: float, until: float) -> bool:
        """A fault hit the gateway, or it was not over one, at some moment of that time."""
        return any(window.began <= until and window.until >= since for window in self._windows_of(gateway))

    def _windows_of(self, gateway: str) -> Iterable[Window]:
        return (window for window in self.windows if gateway in window.fault.gateways)

    def _taken_for_dead(self, owner: Connection, since: float, until: float) -> bool:
        """Some map was without the gateway: Redis was away too long for one of them."""
        return any(since - EXPELLED_BEFORE <= at <= until + EXPELLED_BEFORE for at in self._maps_without(owner))

    def _maps_without(self, owner: Connection) -> list[float]:
        """When a map was seen without the gateway that made the worker's id."""
        tag = owner.worker[:TAG]
        if tag not in self._without:
            name = f"{Role.GATEWAY}-{tag}"
            self._without[tag] = [
                seen.at
                for seen in self._evidence.history.maps
                if len(seen.nodes) > 1 and not any(node.startswith(name) for node in seen.nodes)
            ]
        return self._without[tag]

    def explains(self, call: Call) -> bool:
        """This failed call is owed to a fault."""
        return any(self._explained(call, window) for window in self.windows)

    def near(self, moment: float) -> list[Window]:
        """Faults under way or just over: context for whoever reads a violation."""
        return [window for window in self.windows if window.covers(moment)]

    def _explained(self, call: Call, window: Window) -> bool:
        if not window.covers(call.ended):
            return False
        match window.kind.target:
            case Target.GATEWAY | Target.NETWORK:
                return self._by_gateway(call, window)
            case Target.REDIS:
                return call.outcome != FUNCTION_NOT_FOUND and (call.kind == FIRST or self._crosses(call, window))
            case Target.WORKERS:
                return self._by_worker(call, window)
            case _:
                # Lookups wait; only where faults come together may they wait too long.
                return not window.alone and call.kind in (FIRST, CHURN) and call.outcome == TIMEOUT

    def _by_gateway(self, call: Call, window: Window) -> bool:
        hit = window.fault.gateways
        from_there = self._evidence.gateway(call) in hit
        if not from_there and not any(c.gateway in hit for c in self._owners(call, window)):
            return False
        kind = window.kind
        if kind.in_leases and not kind.outlives_lease and not self._fell(window):
            return False  # it was back before anybody missed it
        if call.kind != REPLICATED or not self._served_elsewhere(call, window):
            return True
        if kind.action is Action.TERM and window.alone:
            # It lets its workers finish, and there was another owner. But who called from there comes back with it,
            # which may take longer than answers are kept.
            return from_there and call.outcome == UNANSWERED
        return from_there or call.ended <= window.settled

    def _served_elsewhere(self, call: Call, window: Window) -> bool:
        owners = self._evidence.owners_throughout(call.function, window.began, call.ended)
        return any(owner.gateway not in window.fault.gateways for owner in owners)

    def _by_worker(self, call: Call, window: Window) -> bool:
        hit = window.fault.victims
        return self._evidence.client(call) in hit or any(c.client in hit for c in self._owners(call, window))

    def _crosses(self, call: Call, window: Window) -> bool:
        """It may have been carried out at another gateway."""
        home = self._evidence.gateway(call)
        owners = list(self._owners(call, window))
        return not owners or any(connection.gateway != home for connection in owners)

    def _owners(self, call: Call, window: Window) -> Iterable[Connection]:
        """Who served the function at some moment since the fault began: they may be gone because of it."""
        return self._evidence.owners(call.function, min(call.began, window.began) - EDGE, call.ended)

    def _fell(self, window: Window) -> bool:
        """The cluster removed a victim for it."""
        return any(
            node not in seen.nodes
            for seen in self._evidence.history.maps
            if window.began <= seen.at <= window.until and seen.nodes
            for node in window.fault.nodes
        )
