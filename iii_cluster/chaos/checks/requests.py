"""Every HTTP request ends, with its own answer, carried out at most once, and fails only where a fault explains it."""

from collections import defaultdict
from collections.abc import Iterator

from iii_cluster.chaos.effects import Handled, Request
from iii_cluster.chaos.faults.kinds import Target
from iii_cluster.chaos.history import OPEN, UNANSWERED, Call
from iii_cluster.chaos.limits import BARRIER, CALL
from iii_cluster.protocol.errors import FUNCTION_NOT_FOUND, TIMEOUT

from .evidence import Evidence
from .reach import Reach
from .violation import Violation

ENDS = "every HTTP request ends"
OWN_ANSWER = "every HTTP response belongs to its request"
ONCE = "an HTTP request is carried out at most once"
FOUND = "a route with a live owner is found"
CONNECTED = "an HTTP connection of a gateway that is well holds"
EXPLAINED = "no HTTP request fails without a cause"
ROUTED = "at rest every gateway answers every route"

OK, NOT_FOUND, SERVER_ERROR, UNAVAILABLE, TIMED_OUT = 200, 404, 500, 503, 504


def check(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    for request in evidence.history.requests:
        yield from _ending(evidence, request)
        if request.status == OK and request.answer != request.n:
            text = f"request {request.n} for {request.function} was answered with {request.answer}"
            yield Violation(check=OWN_ANSWER, at=request.ended, text=text)
        elif request.ended != OPEN and request.status != OK:
            yield from _failure(evidence, reach, request)
    yield from _once(evidence)
    for routed in evidence.history.routed:
        if routed.status != OK:
            text = f"{routed.function} is answered {routed.status or 'not at all'} by {routed.gateway or 'a gateway'}"
            yield Violation(check=ROUTED, at=routed.at, text=text)


def _ending(evidence: Evidence, request: Request) -> Iterator[Violation]:
    last = evidence.history.ended if request.ended == OPEN else request.ended
    took = last - request.at
    if last != OPEN and took > CALL + evidence.slack(request.at, last):
        text = f"{_name(evidence, request)} has not ended after {took:.1f} s"
        yield Violation(check=ENDS, at=request.at, text=text)


def _once(evidence: Evidence) -> Iterator[Violation]:
    handled: dict[int, list[Handled]] = defaultdict(list)
    for one in evidence.history.handled:
        handled[one.n].append(one)
    for n, times in handled.items():
        if len(times) > 1:
            who = ", ".join(evidence.connections[one.connection].client for one in times)
            yield Violation(
                check=ONCE, at=times[1].at, text=f"request {n} was carried out {len(times)} times, by {who}"
            )


def _failure(evidence: Evidence, reach: Reach, request: Request) -> Iterator[Violation]:
    call = _as_call(request)
    text = _told(evidence, request)
    if call.outcome == UNANSWERED:
        if not _hit(evidence, reach, request):
            yield Violation(check=CONNECTED, at=request.ended, text=text)
        return
    owner = _live_owner(evidence, reach, request) if call.outcome == FUNCTION_NOT_FOUND else ""
    if owner:
        yield Violation(check=FOUND, at=request.ended, text=f"{text}, yet {owner} served it")
    elif (request.status < SERVER_ERROR and request.status != NOT_FOUND) or not reach.explains(call):
        yield Violation(check=EXPLAINED, at=request.ended, text=text)


def _as_call(request: Request) -> Call:
    """What it would have been as a call of the function: the same faults explain its failure."""
    outcome = request.code or f"HTTP {request.status}"
    if request.status in (0, UNAVAILABLE):
        outcome = UNANSWERED
    elif request.status == NOT_FOUND:
        outcome = FUNCTION_NOT_FOUND
    elif request.status == TIMED_OUT:
        outcome = TIMEOUT
    return Call(
        n=request.n,
        kind=request.kind,
        function=request.function,
        connection=request.visit,
        began=request.at,
        ended=request.ended,
        outcome=outcome,
    )


def _hit(evidence: Evidence, reach: Reach, request: Request) -> bool:
    """Something had happened to the gateway it went to; where that is not known, to any."""
    gateway = evidence.connections[request.visit].gateway
    if gateway:
        return reach.hit(gateway, request.at, request.ended)
    at_gateways = (window for window in reach.windows if window.kind.target in (Target.GATEWAY, Target.NETWORK))
    return any(window.began <= request.ended and window.until >= request.at for window in at_gateways)


def _live_owner(evidence: Evidence, reach: Reach, request: Request) -> str:
    """Who surely served it all the time, at a gateway nothing had happened to; gateways are told of it by then."""
    for owner in evidence.owners_throughout(request.function, request.at - BARRIER, request.ended):
        if not reach.disturbed(owner, request.at - BARRIER, request.ended):
            return f"{owner.client} at {owner.gateway}"
    return ""


def _name(evidence: Evidence, request: Request) -> str:
    visit = evidence.connections[request.visit]
    who = f"{visit.client} at {visit.gateway or 'a gateway'}"
    return f"request {request.n} ({request.kind}) of {who} for {request.function}"


def _told(evidence: Evidence, request: Request) -> str:
    kept = "on a connection in use" if request.reused else "on a new connection"
    what = " ".join(filter(None, (str(request.status or ""), request.code)))
    return f"{_name(evidence, request)} failed after {request.ended - request.at:.2f} s with {what}, {kept}"
