"""Calls of functions from a node that has no workers of its own: found, sent, and followed to their end.

Pure: no clock, no I/O. A call that cannot be sent yet waits: for the owners of its function, for somebody to listen at
their gateway again, for a worker or a link to keep up. What waits is bounded; beyond that, calls fail.
"""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from iii_cluster.bus.envelopes import Congested, Envelope, FunctionOwners, Invoke, Refused, Result
from iii_cluster.bus.outbox import Links
from iii_cluster.cluster.map import ClusterMap

from .call import Call, Done, Sent
from .doors import Doors
from .early import EarlyEnds
from .failures import not_found, stopped, unserved
from .ids import Ids
from .route import Route, Target
from .table import RouteTable
from .telemetry import CallerTelemetry
from .waiting import Waiting

MODULE_NAMESPACE = "default"  # that the functions of modules are in
PATIENCE = 10.0  # seconds a call waits for a shard's answer, or for somebody to listen where it should go
MAX_REFUSALS = 100  # of one call: its shard names owners that do not have the function
MAX_UNAWAITED = 1_000  # calls in flight whose end nobody waits for: kept in case they are refused

# The question to a caller's node where its calls are served now; asked by the gateway that handed them over.
MOVED = "moved"

TOO_MANY = stopped("too many calls wait to be sent")

log = logging.getLogger(__name__)


class Caller:
    """All calls of one node. `on_idle` is told when the last one that could not be sent yet is on its way or failed."""

    def __init__(
        self,
        node: str,
        links: Links,
        module_functions: Container[str] = (),
        telemetry: CallerTelemetry | None = None,
    ) -> None:
        """`module_functions` are those that every gateway answers itself; others it has are asked for when no worker
        serves them."""
        self.on_idle: Callable[[], None] | None = None
        self.early = EarlyEnds()
        self._links = links
        self._ids = Ids(node)
        self._routes = RouteTable("", links)
        self._doors = Doors()
        self._module_functions = module_functions
        self._telemetry = telemetry
        self._calls: dict[str, Call] = {}  # by id, from their start to their end
        self._unawaited: dict[str, None] = {}  # ids, oldest first
        self._waiting = Waiting()
        self._rejected: list[Call] = []  # at once; told with the next look at the clock
        self._now = 0.0  # seconds, moved by expire()
        self.handlers: Mapping[type[Envelope], Callable[[str, Any], None]] = {
            FunctionOwners: self._routes.on_owners,
            Result: self._on_result,
            Refused: self._on_refused,
            Congested: self._on_congested,
        }

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def waiting(self) -> int:
        """Calls that cannot be sent yet."""
        return len(self._waiting)

    @property
    def routes(self) -> int:
        """Functions that are watched."""
        return len(self._routes)

    # -- calls -------------------------------------------------------------------------------------

    def call(
        self,
        function: str,
        data: bytes,
        done: Done | None = None,
        *,
        namespace: str = "default",
        metadata: bytes = b"",
        traceparent: bytes = b"",
        baggage: bytes = b"",
        once: str = "",
        names_target: bool = False,
        sent: Sent | None = None,
        counted: bool = True,
    ) -> Call:
        """Start a call; `done` is never called before this returns.

        With `names_target` everybody who knows the same owners sends what is called `once` to the same one of them.
        `sent(gateway)` is called whenever it goes to one, perhaps before this returns, and when another takes it over;
        with "" when it reached no worker there and is to be sent again.

        In a trace it has a span, unless it has a name: deliveries have spans of whoever makes them. Not `counted` are
        those of who only looks.
        """
        id = self._ids.new()
        recording = None
        telemetry = self._telemetry
        if telemetry is not None and traceparent and not once:
            recording = telemetry.span(function, namespace, (traceparent, baggage))
            if recording is not None:
                traceparent, baggage = recording.trace
        invoke = Invoke(id, 0, function, data, namespace, traceparent, baggage, metadata, once)
        call = Call(invoke, done, names_target, self._unawait, sent)
        if telemetry is not None and counted:
            call.recording = recording
            telemetry.begin(call)
        self._calls[id] = call
        self._start(call)
        return call

    def _unawait(self, call: Call) -> None:
        """Nobody waits for the end of a call: if it is in flight, it is not followed for ever."""
        if call.target is None:
            return
        self._unawaited[call.invoke.id] = None
        if len(self._unawaited) > MAX_UNAWAITED:
            self._end(self._calls[next(iter(self._unawaited))], b"", b"", known=False)

    def _start(self, call: Call) -> None:
        invoke = call.invoke
        if invoke.namespace == MODULE_NAMESPACE and invoke.function in self._module_functions:
            self._send_to_gateway(call)
            return
        route = self._routes.ready(invoke.namespace, invoke.function)
        if route is not None:
            self._dispatch(call, route)
        elif self._waiting.enter(call):
            self._routes.lookup(invoke.namespace, invoke.function, lambda found: self._looked_up(call, found))
        else:
            self._reject(call, TOO_MANY)

    def _looked_up(self, call: Call, route: Route) -> None:
        if call.invoke.id in self._calls:
            self._waiting.leave(call)
            self._dispatch(call, route)
            self._maybe_idle()

    def _dispatch(self, call: Call, route: Route) -> None:
        target = _named(call.invoke.once, (*route.local, *route.remote)) if call.names_target else route.choose()
        if target is not None:
            self._send(call, target)
        elif route.disowned and not route.unanswered:
            self._try_again(call)
        elif call.invoke.namespace == MODULE_NAMESPACE and not (call.asked_gateway or route.unanswered):
            self._send_to_gateway(call)
        else:
            self._end(call, b"", unserved(route))

    def _send_to_gateway(self, call: Call) -> None:
        door = _named(call.invoke.once, self._doors.open) if call.names_target else self._doors.choose()
        if door is None:
            self._park(call, "", "there is no gateway")
        else:
            self._send(call, door)

    def _send(self, call: Call, target: Target) -> None:
        if call.forgotten and call.invoke.once and call.done is None:
            self._end(call, b"", b"", known=False)
        elif target.avoided:
            self._park(call, target.node, f"{target.node} cannot be reached")
        elif target.congested or self._links.congested(target.node):
            self._park(call, target.node, "")
        else:
            call.parked_at = None
            said = call.invoke
            call.invoke = Invoke(said.id, target.conn, said.function, b"", said.namespace, once=said.once)
            said.conn = target.conn
            self._links.send(target.node, said)
            self._is_with(call, target)

    def _is_with(self, call: Call, target: Target) -> None:
        target.outstanding += 1
        call.target = target
        if call.sent is not None:
            call.sent(target.node)
        if call.done is None:
            self._unawait(call)

    def _is_back(self, call: Call) -> None:
        """It is with no target any more."""
        if call.target is not None:
            call.target.outstanding -= 1
            call.target = None
            self._unawaited.pop(call.invoke.id, None)

    # -- calls that wait ---------------------------------------------------------------------------

    def _park(self, call: Call, node: str, obstacle: str) -> None:
        """Until its gateway, "" for any, can be sent to. With an obstacle it does not wait for long."""
        call.obstacle = obstacle
        if call.parked_at is None:
            call.parked_at = self._now
        if not self._waiting.park(call, node):
            self._reject(call, TOO_MANY)

    def _reject(self, call: Call, error: bytes) -> None:
        """It fails; later, for whoever made it does not expect that at once."""
        call.error = error
        call.invoke.data = call.invoke.metadata = b""
        self._rejected.append(call)

    def _try_parked(self, nodes: Iterable[str] | None = None) -> None:
        """Look again at calls that wait for these nodes, or for any."""
        taken = self._waiting.take(nodes)
        for call in taken:
            if call.obstacle and call.parked_at is not None and self._now - call.parked_at > PATIENCE:
                self._end(call, b"", stopped(call.obstacle))
            else:
                self._start(call)
        if taken:
            self._maybe_idle()

    def _maybe_idle(self) -> None:
        if not self._waiting and self.on_idle is not None:
            self.on_idle()

    def expire(self, now: float) -> None:
        """Move the clock, a few times per second: fail what waited for too long, send what can be sent elsewhere."""
        self._now = now
        self._routes.expire(now, PATIENCE)
        self._try_parked()
        rejected, self._rejected = self._rejected, []
        for call in rejected:
            self._end(call, b"", call.error)

    # -- ends --------------------------------------------------------------------------------------

    def _on_result(self, _node: str, said: Result) -> None:
        call = self._calls.get(said.id)
        if call is not None:
            self._end(call, said.result, said.error)
        else:
            self.early.put(said.id, said.result, said.error)

    def expect(self, id: str, node: str, done: Done) -> None:
        """Wait for the end of a call that another node made and `node` serves; or this one did, for somebody else."""
        call = self._calls.get(id)
        if call is None:
            node, conn = self.early.moves.get(id, (node, 0))
            call = self._calls[id] = Call(Invoke(id, 0, "", b""), done, False, self._unawait)
            if self._routes.departed(node):
                self._reject(call, stopped(f"gateway {node} was lost"))
            else:
                self._is_with(call, self._target(node, conn))
        else:
            call.done = _both(call.done, done)

    def _end(self, call: Call, result: bytes, error: bytes, *, known: bool = True) -> None:
        """It is not followed any further. Not `known`: it may go on, or has not begun."""
        if self._calls.pop(call.invoke.id, None) is None:
            return
        if known and self._telemetry is not None:
            self._telemetry.ended(call, error)
        self._is_back(call)
        done, call.done = call.done, None
        if done is not None:
            try:
                done(result, error)
            except Exception:
                log.exception("action=call_end_failed function=%s", call.invoke.function)

    def _on_refused(self, node: str, refused: Refused) -> None:
        """The call reached no worker: another owner may have it, or its shard knows one."""
        invoke = refused.invoke
        call = self._calls.get(invoke.id)
        if call is None:
            return
        self._is_back(call)
        if call.sent is not None:
            call.sent("")
        call.invoke = invoke
        call.asked_gateway = call.asked_gateway or not invoke.conn
        route = self._routes.get(invoke.namespace, invoke.function)
        target = self._routes.target(node, invoke.conn)
        if route is not None and target is not None:
            self._routes.disown(route, target)
        self._try_again(call)

    def _try_again(self, call: Call) -> None:
        call.refusals += 1
        if call.refusals > MAX_REFUSALS:
            self._end(call, b"", not_found(call.invoke.namespace, call.invoke.function, []))
        else:
            self._start(call)

    def moved(self, ids: Sequence[str], node: str, conn: int) -> list[str]:
        """A worker goes on with these calls on another connection. Returns those that are still in flight, or may be
        expected soon."""
        calls = [call for id in ids if (call := self._calls.get(id)) is not None and call.target is not None]
        if self._routes.departed(node):  # no map will tell of its end again
            for call in calls:
                self._end(call, b"", stopped(f"gateway {node} was lost"))
            return []
        target = self._target(node, conn)
        for call in calls:
            self._is_back(call)
            self._is_with(call, target)
        unknown = [id for id in ids if id not in self._calls and self.early.moved(id, node, conn)]
        return [call.invoke.id for call in calls] + unknown

    def _target(self, node: str, conn: int) -> Target:
        return self._routes.target(node, conn) or Target(node, conn, "")

    def close(self, why: str) -> None:
        """This node ends before its calls do."""
        self._waiting.clear()
        for call in list(self._calls.values()):
            self._end(call, b"", stopped(why))

    # -- changes of the cluster --------------------------------------------------------------------

    def on_map(self, new: ClusterMap) -> None:
        gone = self._routes.map.nodes.keys() - new.nodes.keys()
        self._routes.on_map(new)
        self._doors.on_map(new)
        if gone:
            self._end_sent(gone, "its gateway was lost")
        self._try_parked(["", *gone])

    def on_reset(self, node: str) -> None:
        """The link to `node` was reset: watches there are gone, and so may be calls."""
        self._end_sent([node], f"the link to {node} was reset")
        for target in self._routes.targets_of(node):
            target.congested = False  # nobody will say so
        self._try_parked([node])
        self._routes.on_reset(node)

    def on_reachable(self, node: str, on: bool) -> None:
        """Somebody listens at a node again, or nobody does; then no map will tell of the end of one that is in none."""
        self._routes.set_avoided(node, on=not on)
        self._doors.set_avoided(node, on=not on)
        if on:
            self._try_parked([node])
        elif node not in self._routes.map.nodes:
            self._end_sent([node], f"{node} cannot be reached")

    def on_congestion(self, node: str, on: bool) -> None:
        """The link to a node is full, or no longer."""
        if not on:
            self._try_parked([node])

    def _on_congested(self, node: str, said: Congested) -> None:
        target = self._routes.target(node, said.conn)
        if target is not None:
            target.congested = said.on
            if not said.on:
                self._try_parked([node])

    def _end_sent(self, nodes: Container[str], why: str) -> None:
        error = stopped(why)
        for call in [call for call in self._calls.values() if call.target is not None and call.target.node in nodes]:
            self._end(call, b"", error)


def _both(first: Done | None, second: Done) -> Done:
    if first is None:
        return second

    def done(result: bytes, error: bytes) -> None:
        first(result, error)
        second(result, error)

    return done


def _named(name: str, targets: Iterable[Target]) -> Target | None:
    """One of the targets, the same for everybody who knows the same ones, in whatever order."""
    return max(targets, key=lambda target: _weight(name, target), default=None)


def _weight(name: str, target: Target) -> bytes:
    return blake2b(f"{name}:{target.node}:{target.conn}".encode(), digest_size=8).digest()
