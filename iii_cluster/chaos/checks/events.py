"""`worker_connected` and `worker_disconnected` are told once for each time a worker comes and goes.

A gateway that was cut off and joins again keeps its workers: for them "disconnected" and "connected" again is right.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from iii_cluster.chaos.faults.kinds import Target
from iii_cluster.chaos.history import OPEN, Connection, Registration, Told
from iii_cluster.chaos.limits import BARRIER, EVENT

from .evidence import Evidence
from .reach import Reach
from .violation import Violation

ONCE = "a worker's coming and going is told once"
TOLD = "a worker's coming and going is told"

CONNECTED = "worker_connected"
DISCONNECTED = "worker_disconnected"


def check(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    heard: dict[int, dict[str, list[Told]]] = defaultdict(lambda: defaultdict(list))
    for told in evidence.history.told:
        if told.event in (CONNECTED, DISCONNECTED):
            heard[told.connection][told.worker].append(told)
    for subscriber, by_worker in heard.items():
        for worker, events in by_worker.items():
            yield from _once(reach, evidence.connections[subscriber], worker, events)
    if evidence.history.ended != OPEN:  # else it may still be told
        for subscription in evidence.history.registrations:
            if subscription.subscribed and subscription.confirmed != OPEN:
                yield from _all_told(evidence, reach, subscription, heard[subscription.connection])


def _once(reach: Reach, subscriber: Connection, worker: str, events: Sequence[Told]) -> Iterator[Violation]:
    """Comings and goings alternate, unless one could not be told because the subscriber's gateway was cut off."""
    for before, after in itertools.pairwise(events):
        if before.event == after.event and not reach.disturbed(subscriber, before.at, after.at):
            text = f"{subscriber.client} was told {after.event} of {worker} twice, {after.at - before.at:.1f} s apart"
            yield Violation(check=ONCE, at=after.at, text=text)


def _all_told(
    evidence: Evidence, reach: Reach, subscription: Registration, heard: Mapping[str, Sequence[Told]]
) -> Iterator[Violation]:
    """Of every worker the last word was what became of it."""
    subscriber = evidence.connections[subscription.connection]
    for connection in evidence.history.connections:
        gone = connection.closed != OPEN
        last = DISCONNECTED if gone else CONNECTED
        events = heard.get(connection.worker, ())
        if events and events[-1].event == last:
            continue
        if gone and not events and _unnoticed(reach, connection):
            continue
        if gone and _forgotten(evidence, reach, connection):
            continue
        alive_since = events[-1].at if events else connection.opened  # who is told gone is told back
        moment = connection.closed if gone else alive_since
        if _listens(evidence, reach, subscription, moment):
            text = f"{subscriber.client} was never told {last} of {connection.worker} ({connection.client})"
            yield Violation(check=TOLD, at=moment, text=text)


def _unnoticed(reach: Reach, connection: Connection) -> bool:
    """It came and went while its gateway could not tell anybody, or nobody led: there was nothing to be told."""
    around = [window for window in reach.windows if window.began <= connection.closed <= window.until]
    return any(
        window.kind.target in (Target.REDIS, Target.COORDINATOR, Target.LEADER)
        or connection.gateway in window.fault.gateways
        for window in around
    )


def _forgotten(evidence: Evidence, reach: Reach, connection: Connection) -> bool:
    """Its gateway went, too, and Redis lost its records, before anybody was told: nobody is left who knew of it."""
    until = connection.closed + EVENT
    return evidence.forgot(connection.closed, until) and reach.hit(connection.gateway, connection.closed, until)


def _listens(evidence: Evidence, reach: Reach, subscription: Registration, moment: float) -> bool:
    """The subscription stood, undisturbed, from before `moment` until the event must have come."""
    deadline = moment + EVENT
    deadline += evidence.slack(moment, deadline)
    if subscription.confirmed + BARRIER > moment:
        return False
    if min(evidence.gone(subscription), evidence.history.ended) <= deadline:
        return False
    return not reach.disturbed(evidence.connections[subscription.connection], moment, deadline)
