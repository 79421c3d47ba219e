"""Invocations in flight: calls of our workers, and calls our workers serve. Pure.

An invocation gets an id of ours. The caller's gateway keeps the `Call` until the end; the callee's gateway
remembers in `Worker.serving` whom to tell. A local call has both, on the same gateway.
"""

from collections.abc import Callable

from iii_cluster.bus.envelopes import Deliver, Invoke, Refused, Result
from iii_cluster.bus.outbox import Outbox
from iii_cluster.protocol import errors, frames
from iii_cluster.routing.table import Route, RouteTable, Target

from .backpressure import Backpressure
from .ids import Ids, maker_of
from .worker import Worker

STOPPED = errors.error_body(errors.INVOCATION_STOPPED, "Invocation stopped")
CHANNEL_CLOSED = errors.error_body(errors.INVOCATION_ERROR, "channel closed")

Done = Callable[[bytes, bytes], None]  # (result, error)


class Call:
    """One invocation on its way: what to call with what, and where the answer goes."""

    __slots__ = (
        "caller",
        "data",
        "done",
        "feeder",
        "function",
        "function_json",
        "metadata",
        "namespace",
        "raw_id",
        "target",
        "trace",
    )

    def __init__(
        self,
        caller: Worker | None,
        raw_id: bytes,
        namespace: str,
        function: str,
        data: bytes,
        trace: tuple[bytes, bytes] = (b"", b""),
        metadata: bytes = b"",
        done: Done | None = None,
        feeder: Worker | None = None,
    ) -> None:
        self.caller = caller  # None: the engine itself
        self.feeder = feeder or caller  # whom to pause when the call's way is full
        self.raw_id = raw_id  # the caller's id as it wrote it, quotes included; empty: no reply wanted
        self.namespace = namespace
        self.function = function
        self.function_json = frames.text(function)
        self.data = data
        self.trace = trace
        self.metadata = metadata
        self.done = done
        self.target: Target | None = None  # set while it is in flight

    def finish(self, result: bytes, error: bytes) -> None:
        """Tell the caller, if there is one and it wants to know."""
        if self.done is not None:
            self.done(result, error)
        elif self.caller is not None and self.raw_id and not self.caller.gone:
            trace = frames.trace_tail(*self.trace)
            frame = frames.invocation_result(self.raw_id, self.function_json, result, error, trace)
            limit = self.caller.max_frame
            if limit and len(frame) > limit:
                body = errors.error_body(
                    errors.PAYLOAD_TOO_LARGE, f"the result has {len(frame)} bytes, this client accepts {limit}"
                )
                frame = frames.invocation_result(self.raw_id, self.function_json, b"", body, trace)
            self.caller.outlet.send(frame)


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
        self._window = window
        self._ids = ids
        self._routes = routes
        self._workers = workers  # by connection number
        self._backpressure = backpressure
        self._outbox = outbox
        self._pending: dict[str, Call] = {}
        self._serving: dict[str, Worker] = {}
        self.completed = 0

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    @property
    def kept(self) -> int:
        """Calls of lost connections that have not ended, and answers that wait for their callers' next ones."""
        return 0

    # -- out: a call finds its target --------------------------------------------------------------

    def start(self, call: Call) -> None:
        route = self._routes.ready(call.namespace, call.function)
        if route is None:
            size = len(call.data) + len(call.metadata)
            self._backpressure.to_lookup(call.feeder, size)
            shard = self._routes.lookup(call.namespace, call.function, lambda found: self._looked_up(call, found, size))
            if call.feeder is not None and shard:
                self._backpressure.to_node(call.feeder, shard)
        else:
            self._dispatch(call, route)

    def _looked_up(self, call: Call, route: Route, size: int) -> None:
        self._backpressure.looked_up(size)
        self._dispatch(call, route)

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
            call.finish(b"", _unreachable(route))
            return
        caller = call.caller
        if caller is not None and caller.gone:
            return
        invocation_id = self._ids.new()
        if caller is not None and call.raw_id:
            earlier = caller.calling.get(call.raw_id)
            if earlier is not None:
                self._abandon(earlier, CHANNEL_CLOSED)
            caller.calling[call.raw_id] = invocation_id
        target.outstanding += 1
        call.target = target
        self._pending[invocation_id] = call
        if target.node == self._node:
            self._deliver_here(invocation_id, call, target)
        else:
            self._deliver_there(invocation_id, call, target)
        call.data = call.metadata = b""  # on its way; a refusal brings them back

    def _deliver_here(self, invocation_id: str, call: Call, target: Target) -> None:
        worker = self._workers[target.conn]
        worker.serving[invocation_id] = self._node
        self._serving[invocation_id] = worker
        self._send_call(worker, invocation_id, call.function_json, call.data, call.trace, call.metadata)
        if call.feeder is not None:
            self._backpressure.to_worker(call.feeder, worker)

    def _deliver_there(self, invocation_id: str, call: Call, target: Target) -> None:
        trace, baggage = call.trace
        self._outbox.send(
            target.node,
            Invoke(invocation_id, target.conn, call.function, call.data, call.namespace, trace, baggage, call.metadata),
        )
        if call.feeder is not None:
            self._backpressure.to_target(call.feeder, target)

    def _send_call(
        self,
        worker: Worker,
        invocation_id: str,
        function_json: bytes,
        data: bytes,
        trace: tuple[bytes, bytes],
        metadata: bytes,
    ) -> None:
        frame = frames.invoke_function(invocation_id, function_json, data, frames.trace_tail(*trace), metadata)
        if worker.max_frame and len(frame) > worker.max_frame:
            message = f"the call has {len(frame)} bytes, the worker accepts {worker.max_frame}"
            self.on_result(worker, invocation_id, b"", errors.error_body(errors.PAYLOAD_TOO_LARGE, message))
        else:
            worker.outlet.send(frame)

    # -- in: a call from another node for one of our workers ---------------------------------------

    def on_invoke(self, node: str, invoke: Invoke) -> None:
        worker = self._workers.get(invoke.conn)
        if (
            worker is None
            or not worker.outlet.open
            or ("function", invoke.namespace, invoke.function) not in worker.registrations
        ):
            self._outbox.send(node, Refused(invoke))
            return
        worker.serving[invoke.id] = node
        self._serving[invoke.id] = worker
        function_json = frames.text(invoke.function)
        trace = (invoke.traceparent, invoke.baggage)
        self._send_call(worker, invoke.id, function_json, invoke.data, trace, invoke.metadata)
        self._backpressure.from_node(node, worker)

    def on_refused(self, node: str, refused: Refused) -> None:
        """The call reached no worker, so another owner may have it."""
        invoke = refused.invoke
        call = self._end(invoke.id)
        if call is None:
            return
        call.data, call.metadata = invoke.data, invoke.metadata
        route = self._routes.get(call.namespace, call.function)
        if route is None:
            call.finish(b"", not_found(call.namespace, call.function, []))
            return
        target = self._routes.target(node, invoke.conn)
        if target is not None:
            self._routes.disown(route, target)
        self._dispatch(call, route)

    # -- results -----------------------------------------------------------------------------------

    def on_result(self, worker: Worker, invocation_id: str, result: bytes, error: bytes) -> None:
        """A worker answered. Whoever answers first ends the call: it may have reconnected since it was called."""
        server = self._serving.pop(invocation_id, None)
        if server is None:
            self._forward(invocation_id, result, error)
            return
        origin = server.serving.pop(invocation_id)
        if origin == self._node:
            self._complete(invocation_id, result, error)
        elif origin:
            self._outbox.send(origin, Result(invocation_id, result, error))
            self._backpressure.to_node(worker, origin)

    def on_remote_result(self, _node: str, said: Result) -> None:
        server = self._serving.pop(said.id, None)
        if server is not None:  # our worker was called, but answered through another gateway
            server.serving.pop(said.id, None)
        self._complete(said.id, said.result, said.error)

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
        self.completed += 1
        return call

    def _abandon(self, invocation_id: str, error: bytes) -> None:
        """Answer the caller with an error now; the target's answer, if any, will find nobody."""
        call = self._pending[invocation_id]
        call.finish(b"", error)
        call.caller = None

    # -- losses ------------------------------------------------------------------------------------

    def leaving(self, worker: Worker) -> None:
        """The socket takes no more frames: answers wait until the worker is gone and back."""

    def worker_gone(self, worker: Worker, *, back: bool = False, now: float = 0.0) -> None:
        """End what it was serving, forget what it was calling (its callees are not told)."""
        for invocation_id, origin in list(worker.serving.items()):
            self._serving.pop(invocation_id, None)
            if origin == self._node:
                self._complete(invocation_id, b"", STOPPED)
            elif origin:
                self._outbox.send(origin, Result(invocation_id, b"", STOPPED))
        worker.serving.clear()
        for invocation_id in worker.calling.values():
            self._pending[invocation_id].caller = None
        worker.calling.clear()

    def expire(self, now: float, limit: float = 10.0) -> None:
        """Move the clock: end the calls of lost connections whose window is over."""

    def adopt(self, worker_id: str, node: str, conn: int) -> dict[str, str]:
        """Hand the calls of a lost connection over to connection `conn` of gateway `node`.

        Returns what it was serving and the other gateway has to be told of: invocation id -> node of the caller.
        """
        return {}

    def deliver(self, _node: str, said: Deliver) -> None:
        """The answer to a call that one of our workers made on an earlier connection, at another gateway."""
        worker = self._workers.get(said.conn)
        if worker is not None:
            worker.outlet.send(said.frame)

    def node_reachable(self, node: str, on: bool) -> None:
        """Somebody listens at a node again, or nobody does."""

    def reincarnate(self, old: str, new: str, why: str) -> None:
        """This gateway, cut off for too long, goes on under a new node id: calls that crossed the bus are over."""
        self._node = new

    def node_lost(self, node: str, why: str) -> None:
        """End the calls that were sent to a node; forget who called from there."""
        self._end_calls_to(node, why)
        for worker in self._workers.values():
            worker.remote_feeders.discard(node)
            for invocation_id, origin in worker.serving.items():
                if origin == node:
                    worker.serving[invocation_id] = ""

    def _end_calls_to(self, node: str, why: str) -> None:
        body = errors.error_body(errors.INVOCATION_STOPPED, f"Invocation stopped: {why}")
        for invocation_id in [i for i, call in self._pending.items() if call.target and call.target.node == node]:
            self._complete(invocation_id, b"", body)

    def cut_off(self, why: str) -> None:
        """Redis is gone for too long: end every call that waits for another node."""
        for node in {call.target.node for call in self._pending.values() if call.target} - {self._node}:
            self._end_calls_to(node, why)


def _unreachable(route: Route) -> bytes:
    if route.unanswered:
        return errors.error_body(
            errors.TIMEOUT, f"Function {route.function} could not be looked up: no shard answered in time"
        )
    return not_found(route.namespace, route.function, route.elsewhere)


def not_found(namespace: str, function: str, elsewhere: list[str]) -> bytes:
    message = f"Function {function} not found in namespace {namespace}."
    if elsewhere:
        message += f" It is registered in namespace(s): {', '.join(sorted(elsewhere))}."
    return errors.error_body(errors.FUNCTION_NOT_FOUND, message)
