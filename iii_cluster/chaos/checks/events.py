"""`worker_connected` and `worker_disconnected` are told once for each time a worker comes and goes.

A gateway that was cut off and joins again keeps its workers: for them "disconnected" and "connected" again is right.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from iii_cluster.chaos.faults.kinds import Target
from iii_cluster.chaos.history import OPEN, Connection, History, Registration, Told
from iii_cluster.chaos.limits import BARRIER, EVENT

from .evidence import Index, end
from .reach import Reach, slack
from .violation import Violation

ONCE = "a worker's coming and going is told once"
TOLD = "a worker's coming and going is told"

CONNECTED = "worker_connected"
DISCONNECTED = "worker_disconnected"


def check(index: Index, reach: Reach) -> Iterator[Violation]:
    heard: dict[int, dict[str, list[Told]]] = defaultdict(lambda: defaultdict(list))
    for told in index.history.told:
        if told.event in (CONNECTED, DISCONNECTED):
            heard[told.connection][told.worker].append(told)
    for subscriber, by_worker in heard.items():
        for worker, events in by_worker.items():
            yield from _once(index.connections[subscriber].client, worker, events)
    for subscription in _subscriptions(index):
        own = heard[subscription.connection]
        for connection in index.history.connections:
            yield from _told(index, reach, subscription, connection, own[connection.worker])


def _once(subscriber: str, worker: str, events: Sequence[Told]) -> Iterator[Violation]:
    """Within one connection of the subscriber nothing is lost: comings and goings alternate."""
    for before, after in itertools.pairwise(events):
        if before.event == after.event:
            text = f"{subscriber} was told {after.event} of {worker} twice, {after.at - before.at:.1f} s apart"
            yield Violation(check=ONCE, at=after.at, text=text)


def _subscriptions(index: Index) -> Iterator[Registration]:
    """Confirmed ones: those of functions that are told events."""
    subscribers = {told.connection for told in index.history.told}
    seen = set()
    for registration in index.history.registrations:
        if registration.connection in subscribers and registration.confirmed != OPEN:
            if registration.connection not in seen:
                yield registration
            seen.add(registration.connection)


def _told(
    index: Index, reach: Reach, subscription: Registration, connection: Connection, events: Sequence[Told]
) -> Iterator[Violation]:
    subscriber = index.connections[subscription.connection]
    gone = connection.closed != OPEN
    moment, last = (connection.closed, DISCONNECTED) if gone else (connection.opened, CONNECTED)
    told = bool(events) and events[-1].event == last
    if gone and not events and _unnoticed(reach, connection):
        return
    if not told and _listens(index, reach, subscription, moment):
        yield _untold(subscriber, connection, last, moment)


def _unnoticed(reach: Reach, connection: Connection) -> bool:
    """It came and went while its gateway could not tell anybody, or nobody led: there was nothing to be told."""
    around = [window for window in reach.windows if window.began <= connection.closed <= window.until]
    return any(
        window.kind.target in (Target.REDIS, Target.COORDINATOR, Target.LEADER)
        or connection.gateway in window.fault.gateways
        for window in around
    )


def _listens(index: Index, reach: Reach, subscription: Registration, moment: float) -> bool:
    """The subscription stood, undisturbed, from before `moment` until the event must have come."""
    history: History = index.history
    deadline = moment + EVENT
    deadline += slack(history, moment, deadline)
    if (
        subscription.confirmed + BARRIER > moment
        or index.gone(subscription) <= deadline
        or end(history.ended) < deadline
    ):
        return False
    if history.ended == OPEN:
        return False
    return not reach.disturbed(index.connections[subscription.connection], moment, deadline)


def _untold(subscriber: Connection, connection: Connection, event: str, at: float) -> Violation:
    text = f"{subscriber.client} was never told {event} of {connection.worker} ({connection.client})"
    return Violation(check=TOLD, at=at, text=text)
