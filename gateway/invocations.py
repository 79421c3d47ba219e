"""Invocations in flight: calls of our workers, and calls our workers serve. Pure.

An invocation gets an id of ours. The caller's gateway keeps the `Call` until the end; the callee's gateway
remembers in `Worker.serving` whom to tell. A local call has both, on the same gateway.
"""

from collections.abc import Callable, Iterator

from iii_cluster.bus.envelopes import Invoke, Refused, Result
from iii_cluster.bus.outbox import Outbox
from iii_cluster.protocol import errors, frames
from iii_cluster.routing.early import EarlyEnds
from iii_cluster.routing.failures import not_found, stopped, unserved
from iii_cluster.routing.ids import Ids, maker_of
from iii_cluster.routing.route import Route, Target
from iii_cluster.routing.table import RouteTable
from iii_cluster.telemetry.calls import CALLEE
from iii_cluster.telemetry.context import NO_TRACE

from .backpressure import Backpressure
from .call import CHANNEL_CLOSED, Call, Done
from .call_telemetry import PARKED, REFUSED
from .deliveries import Deliveries
from .external.outside import NotConfigured, Outside
from .handover import Handover
from .kept import LostConnections
from .losses import Losses
from .outages import Outages
from .parked import Parked
from .worker import Worker

# How often a call may be refused before it is given up: its shard names owners that do not have the function.
MAX_REFUSALS = 100


class Invocations:
    """The invocation table of one gateway."""

    def __init__(
        self,
        node: str,
        ids: Ids,
        routes: RouteTable,
        workers: dict[int, Worker],
        backpressure: Backpressure,
        outbox: Outbox,
        window: float = 0.0,
    ) -> None:
        """`window`: seconds the calls of a lost connection are kept for its worker's next one."""
        self._node = node
        self._ids = ids
        self._routes = routes
        self._workers = workers  # by connection number
        self._backpressure = backpressure
        self._outbox = outbox
        self._pending: dict[str, Call] = {}
        self._serving: dict[str, Worker] = {}
        self._now = 0.0  # seconds, moved by expire()
        self._parked = Parked(routes, backpressure)
        self._lost = LostConnections(lambda: routes.map, outbox)
        self.deliveries = Deliveries(node, self._serving, self._tell)
        self._named = self.deliveries.under_way  # by invocation id
        self.serve_self: Callable[[str, Invoke], bool] = lambda _node, _invoke: False  # calls of no connection
        self.outside: Outside = NotConfigured()
        self.handover = Handover(
            node, self._pending, self._serving, workers, self._lost, self.deliveries, routes, self._complete
        )
        self.waiting = self.handover.waiting
        self.losses = Losses(self._pending, self._serving, self._lost, self.handover, self.served, window)
        self.outages = Outages(self._pending, self._parked, routes, self.start, self._fail, self._complete)
        self.adopt = self.handover.adopt
        self.deliver = self.handover.deliver
        self.proves = self._lost.proves
        self.completed = 0
        self.early = EarlyEnds()

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    @property
    def kept(self) -> int:
        """Calls of lost connections that have not ended, and answers that wait for their callers' next ones."""
        return sum(kept.count + len(kept.worker.calling) + len(kept.worker.serving) for kept in self._lost)

    # -- out: a call finds its target --------------------------------------------------------------

    def start(self, call: Call) -> None:
        route = self._routes.ready(call.namespace, call.function)
        if route is None:
            self._look_up(call)
        else:
            self._dispatch(call, route)

    def _look_up(self, call: Call) -> None:
        size = call.size
        self._wait(call)
        self._backpressure.to_lookup(call.feeder, size)
        shard = self._routes.lookup(call.namespace, call.function, lambda found: self._looked_up(call, found, size))
        if call.feeder is not None and shard:
            self._backpressure.to_node(call.feeder, shard)

    def _looked_up(self, call: Call, route: Route, size: int) -> None:
        self._backpressure.looked_up(size)
        if call.id in self._pending:
            self._dispatch(call, route)

    def _wait(self, call: Call) -> None:
        """It has no target yet: enter it, so that it can end before it has one."""
        if not call.id:
            call.id = self._enter(call)

    def _enter(self, call: Call) -> str:
        invocation_id = self._ids.new()
        caller = call.caller
        if caller is not None and call.raw_id:
            earlier = caller.calling.get(call.raw_id)
            self.waiting.count += earlier is None
            if earlier is not None:
                self._abandon(earlier, CHANNEL_CLOSED)
            caller.calling[call.raw_id] = invocation_id
        self._pending[invocation_id] = call
        return invocation_id

    def answering(self, call: Call) -> Done:
        """What ends a call that the engine itself answers."""
        self._wait(call)
        return lambda result, error: self._complete(call.id, result, error)

    def _choose(self, route: Route) -> Target | None:
        """The next target that can be delivered to, as far as can be known here."""
        while True:
            target = route.choose()
            if target is None or target.node != self._node:
                return target
            worker = self._workers.get(target.conn)
            if worker is not None and worker.outlet.open:
                return target
            self._routes.disown(route, target)  # closed; the shard has not heard of it yet

    def _dispatch(self, call: Call, route: Route) -> None:
        target = self._choose(route)
        if target is None:
            if route.disowned and not route.unanswered:
                self._try_again(call)
            else:
                self._fail(call, unserved(route, elsewhere=call.caller is None or not call.caller.realm))
            return
        if target.avoided:
            self._wait(call)
            self._parked.add(target.node, call, self._now)
            if call.recording is not None:
                call.recording.event(PARKED, {CALLEE: target.node})
            return
        invocation_id = call.id or self._enter(call)
        target.outstanding += 1
        call.target = target
        if target.node == self._node:
            self._deliver_here(invocation_id, call, target)
        else:
            self._deliver_there(invocation_id, call, target)
        call.data = call.metadata = b""  # on its way; a refusal brings them back

    def _fail(self, call: Call, error: bytes) -> None:
        """End a call that found no target."""
        if call.id:
            self._complete(call.id, b"", error)
        else:
            call.finish(b"", error)

    def _deliver_here(self, invocation_id: str, call: Call, target: Target) -> None:
        worker = self._workers[target.conn]
        if call.once:
            once = Invoke(invocation_id, target.conn, call.function, b"", once=call.once)
            if self.deliveries.again(self._node, once):
                return
            self.deliveries.begin(call.once, invocation_id)
        if worker.special:
            invoke = Invoke(invocation_id, target.conn, call.function, call.data, call.namespace, *call.trace)
            if self.outside.take(worker, invoke, "", call.feeder):
                return
        worker.serving[invocation_id] = self._node
        self._serving[invocation_id] = worker
        tail = b"" if call.trace is NO_TRACE else frames.trace_tail(*call.trace)
        self._send_call(worker, invocation_id, call.function_json, call.data, tail, call.metadata)
        if call.feeder is not None:
            self._backpressure.to_worker(call.feeder, worker)

    def _deliver_there(self, invocation_id: str, call: Call, target: Target) -> None:
        conn, function, namespace, (trace, baggage) = target.conn, call.function, call.namespace, call.trace
        self._outbox.send(
            target.node,
            Invoke(invocation_id, conn, function, call.data, namespace, trace, baggage, call.metadata, call.once),
        )
        if call.feeder is not None:
            self._backpressure.to_target(call.feeder, target)
        if call.recording is not None:
            call.recording.set(CALLEE, target.node)

    def _send_call(
        self, worker: Worker, invocation_id: str, function_json: bytes, data: bytes, tail: bytes, metadata: bytes
    ) -> None:
        if worker.special:
            function_json = worker.own_name(function_json)
        frame = frames.invoke_function(invocation_id, function_json, data, tail, metadata)
        if worker.max_frame and len(frame) > worker.max_frame:
            message = f"the call has {len(frame)} bytes, the worker accepts {worker.max_frame}"
            self.on_result(worker, invocation_id, b"", errors.error_body(errors.PAYLOAD_TOO_LARGE, message))
        else:
            worker.outlet.send(frame)

    # -- in: a call from another node for one of our workers ---------------------------------------

    def on_invoke(self, node: str, invoke: Invoke) -> None:
        if invoke.once and self.deliveries.again(node, invoke):
            return
        worker = self._workers.get(invoke.conn)
        if (
            worker is None
            or not worker.outlet.open
            or ("function", invoke.namespace, invoke.function) not in worker.registrations
        ):
            if invoke.conn or not self.serve_self(node, invoke):
                self._outbox.send(node, Refused(invoke))
            return
        if invoke.once:
            self.deliveries.begin(invoke.once, invoke.id)
        if worker.special and self.outside.take(worker, invoke, node, None):
            return
        worker.serving[invoke.id] = node
        self._serving[invoke.id] = worker
        tail = frames.trace_tail(invoke.traceparent, invoke.baggage)
        self._send_call(worker, invoke.id, frames.text(invoke.function), invoke.data, tail, invoke.metadata)
        self._backpressure.from_node(node, worker)

    def on_refused(self, node: str, refused: Refused) -> None:
        """The call reached no worker, so another owner may have it, or its shard knows one, or expects one back."""
        invoke = refused.invoke
        call = self._end(invoke.id)
        if call is None:
            return
        call.id = ""
        call.data, call.metadata = invoke.data, invoke.metadata
        route = self._routes.get(call.namespace, call.function)
        target = self._routes.target(node, invoke.conn)
        if route is not None and target is not None:
            self._routes.disown(route, target)
        self._try_again(call)

    def _try_again(self, call: Call) -> None:
        """The owner that was known does not have the function (any more)."""
        call.refusals += 1
        if call.recording is not None:
            call.recording.event(REFUSED)
        if call.refusals > MAX_REFUSALS:
            self._fail(call, not_found(call.namespace, call.function, []))
        else:
            self.start(call)

    # -- results -----------------------------------------------------------------------------------

    def on_result(self, worker: Worker, invocation_id: str, result: bytes, error: bytes) -> None:
        """A worker answered. Whoever answers first ends the call: it may have reconnected since it was called."""
        server = self._serving.pop(invocation_id, None)
        if server is None:
            self._forward(invocation_id, result, error)
            return
        origin = server.serving.pop(invocation_id)
        if invocation_id in self._named:
            self.deliveries.end(invocation_id, result, error)
        if origin == self._node:
            self._complete(invocation_id, result, error)
        elif origin:
            self._outbox.send(origin, Result(invocation_id, result, error))
            self._backpressure.to_node(worker, origin)

    def on_remote_result(self, _node: str, said: Result) -> None:
        server = self._serving.pop(said.id, None)
        if server is not None:  # our worker was called, but answered through another gateway
            server.serving.pop(said.id, None)
            if said.id in self._named:
                self.deliveries.end(said.id, said.result, said.error)
        self._complete(said.id, said.result, said.error)

    def expect(self, invocation_id: str, node: str, done: Done) -> None:
        """Wait for the end of a call that another node made and `node` serves."""
        if invocation_id not in self._pending:
            call = self._pending[invocation_id] = Call(None, b"", "", "", b"", done=done)
            call.id = invocation_id
            call.target = Target(node, 0, "")
            call.target.outstanding = 1

    def served(self, origin: str, invocation_id: str, result: bytes, error: bytes) -> None:
        """A call that was served here has ended; `origin` is the node that sent it, "" if that is lost."""
        if invocation_id in self._named:
            self.deliveries.end(invocation_id, result, error)
        if origin:
            self._tell(origin, invocation_id, result, error)

    def _tell(self, node: str, invocation_id: str, result: bytes, error: bytes) -> None:
        if node == self._node:
            self._complete(invocation_id, result, error)
        else:
            self._outbox.send(node, Result(invocation_id, result, error))

    def _forward(self, invocation_id: str, result: bytes, error: bytes) -> None:
        """Nobody here was asked: the worker was, on a connection to another gateway."""
        caller = maker_of(invocation_id, self._routes.map)
        if caller == self._node:  # asked from here, answered here, though the call went elsewhere
            self._complete(invocation_id, result, error)
        elif caller:
            self._outbox.send(caller, Result(invocation_id, result, error))

    def _complete(self, invocation_id: str, result: bytes, error: bytes) -> None:
        """End a call and tell its caller; one that has ended already is left alone."""
        call = self._end(invocation_id)
        if call is not None:
            call.finish(result, error)
        else:
            self.early.put(invocation_id, result, error)

    def _end(self, invocation_id: str) -> Call | None:
        call = self._pending.pop(invocation_id, None)
        if call is None:
            return None
        if call.target is not None:
            call.target.outstanding -= 1
            call.target = None
        caller = call.caller
        if caller is not None and call.raw_id and caller.calling.get(call.raw_id) == invocation_id:
            del caller.calling[call.raw_id]
            self.waiting.count -= 1
        self.completed += 1
        return call

    def _abandon(self, invocation_id: str, error: bytes) -> None:
        """Answer the caller with an error now; the target's answer, if any, will find nobody."""
        call = self._pending[invocation_id]
        call.finish(b"", error)
        call.caller = None

    # -- losses ------------------------------------------------------------------------------------

    def expire(self, now: float, limit: float = 10.0) -> None:
        """Move the clock: end the calls of lost connections whose window is over, and what is parked for `limit` s."""
        self._now = now
        self.losses.expire(now)
        self.outages.expire(now, limit)

    def node_lost(self, node: str, why: str) -> None:
        """End the calls that were sent to a node, find others for those that were not; forget who called from there."""
        for worker in self._all_workers():
            worker.remote_feeders.discard(node)
            for invocation_id, origin in worker.serving.items():
                if origin == node:
                    worker.serving[invocation_id] = ""
        self.outages.node_lost(node, why)

    def _all_workers(self) -> Iterator[Worker]:
        yield from self._workers.values()
        for kept in self._lost:
            yield kept.worker

    def give_up(self, why: str) -> None:
        """This gateway ends before its calls do: those tell their callers who are elsewhere by now."""
        for invocation_id in list(self._pending):
            self._complete(invocation_id, b"", stopped(why))

    def reincarnate(self, old: str, new: str, why: str) -> None:
        """This gateway, cut off for too long, goes on under a new node id: calls that crossed the bus are over."""
        self._node = self.handover.node = new
        self.deliveries.reincarnate(old, new)
        self.outages.end_calls_elsewhere(why, old, new)
        for worker in self._all_workers():
            worker.remote_feeders.clear()
            for invocation_id, origin in worker.serving.items():
                worker.serving[invocation_id] = new if origin == old else ""
