"""Calls that go on although a connection of theirs was lost: its worker is back on another one. Pure.

What the worker was serving goes on only if its connection was closed in order. A socket that broke may have swallowed a
call, or its answer, and the worker would never answer (again). Such calls stay with the lost connection: an answer on
any other ends them, or the end of the window.

On the same gateway calls simply change hands. When the worker is back on another gateway,
1. the calls it had made stay here, and their answers are sent after it (`Deliver`);
2. the calls it was serving are the other gateway's to end from then on. `adopt` names them, the gateways of their
   callers note where they went (`moved`), the other gateway takes them (`serve`), and this one forgets them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from iii_cluster.bus.envelopes import Deliver
from iii_cluster.routing.failures import stopped
from iii_cluster.routing.route import Target
from iii_cluster.routing.table import RouteTable
from iii_cluster.telemetry.calls import CALLEE

from .call import CHANNEL_CLOSED, Call, fitting
from .call_telemetry import MOVED
from .deliveries import Deliveries
from .kept import Kept, LostConnections
from .limits import Waiting
from .worker import Worker


class Handover:
    """Moves calls between connections in the tables of one gateway's `Invocations`."""

    def __init__(
        self,
        node: str,
        pending: dict[str, Call],
        serving: dict[str, Worker],
        workers: Mapping[int, Worker],
        lost: LostConnections,
        deliveries: Deliveries,
        routes: RouteTable,
        end: Callable[[str, bytes, bytes], None],
    ) -> None:
        """`end(id, result, error)` ends a call from here."""
        self.node = node
        self._pending = pending
        self._serving = serving
        self._workers = workers
        self._lost = lost
        self._deliveries = deliveries
        self._routes = routes
        self.waiting = Waiting()
        self._end = end

    def adopt(self, worker_id: str, node: str, conn: int) -> dict[str, str]:
        """The worker of a lost connection is back on another one.

        Returns what it was serving, when that is for another gateway to end: invocation id -> node of the caller.
        """
        kept = self._lost.get(worker_id)
        if kept is None:
            return {}
        if node != self.node:
            self._lost.move_there(kept, node, conn)
            named = self._deliveries.under_way  # may still find an heir of their sender
            self._forget(
                kept.worker, [id for id, origin in kept.worker.serving.items() if not origin and id not in named]
            )
            if not kept.in_order:
                return {}
            self._deliveries.leave(kept.worker.serving)
            return dict(kept.worker.serving)
        heir = self._workers.get(conn)
        if heir is not None:
            self._move_here(kept, heir)
        return {}

    def left_with(self, worker_id: str) -> list[str]:
        """Calls that a lost connection was given and keeps, so that only an answer from elsewhere ends them well."""
        kept = self._lost.get(worker_id)
        if kept is None:
            return []
        inherited = kept.worker.guarded.inherited if kept.worker.guarded is not None else ()
        return [*inherited, *(() if kept.in_order else kept.worker.serving)]

    def _move_here(self, kept: Kept, heir: Worker) -> None:
        old = kept.worker
        heir.max_frame = heir.max_frame or old.max_frame  # it has not announced itself yet
        self._lost.move_here(kept, heir)
        for raw_id, invocation_id in old.calling.items():
            call = self._pending[invocation_id]
            call.caller = heir
            if call.feeder is old:
                call.feeder = heir
            if raw_id in heir.calling:  # used again already
                call.finish(b"", CHANNEL_CLOSED)
                call.caller = None
                self.waiting.count -= 1
            else:
                heir.calling[raw_id] = invocation_id
        old.calling.clear()
        if kept.in_order:
            self._serve_on(old, heir)

    def _serve_on(self, old: Worker, heir: Worker) -> None:
        for invocation_id, origin in old.serving.items():
            self._serving[invocation_id] = heir
            heir.serving[invocation_id] = origin
            if origin == self.node:
                _retarget(self._pending[invocation_id], heir.target)
        old.serving.clear()

    def moved(self, ids: Sequence[str], node: str, conn: int) -> list[str]:
        """Calls from here are served by another connection now. Returns those that are still in flight."""
        in_flight = [invocation_id for invocation_id in ids if invocation_id in self._pending]
        if self._routes.departed(node):  # no map will tell of its end again
            for invocation_id in in_flight:
                self._end(invocation_id, b"", stopped(f"gateway {node} was lost"))
            return []
        target = self._routes.target(node, conn) or Target(node, conn, "")
        for invocation_id in in_flight:
            _retarget(self._pending[invocation_id], target)
        return in_flight

    def serve(self, conn: int, calls: Mapping[str, str], named: Mapping[str, list[Any]] | None = None) -> bool:
        """Connection `conn` goes on with calls that its worker was sent on another gateway. False: it is gone.

        `named` is what that gateway knows of the named ones among them.
        """
        worker = self._workers.get(conn)
        if worker is None:
            kept = self._lost.on_conn(conn)
            if kept is None:
                return False
            worker = kept.worker
        for invocation_id, origin in calls.items():
            if origin != self.node or invocation_id in self._pending:
                worker.serving[invocation_id] = origin
                self._serving[invocation_id] = worker
        self._deliveries.take_over(named or {}, calls.keys())
        return True

    def handed_over(self, worker_id: str) -> None:
        """The other gateway ends them now."""
        kept = self._lost.moved(worker_id)
        if kept is not None:
            self._forget(kept.worker, list(kept.worker.serving))

    def _forget(self, worker: Worker, served: Collection[str]) -> None:
        self._deliveries.forget(served)
        for invocation_id in served:
            del worker.serving[invocation_id]
            if self._serving.get(invocation_id) is worker:  # else it has come back to another connection here
                del self._serving[invocation_id]

    def deliver(self, _node: str, said: Deliver) -> None:
        """The answer to a call that a worker of ours made on an earlier connection, at another gateway."""
        worker = self._workers.get(said.conn)
        if worker is not None:
            worker.answers.send(fitting(said.frame, worker.max_frame))
        else:
            self._lost.answers_of(said.conn).send(said.frame)


def _retarget(call: Call, target: Target) -> None:
    if call.target is not None:
        call.target.outstanding -= 1
        target.outstanding += 1
        call.target = target
        if call.recording is not None:
            call.recording.event(MOVED, {CALLEE: target.node})
            call.recording.set(CALLEE, target.node)
