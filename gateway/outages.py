"""Nodes that are lost, or that nobody listens at: the calls that went there, or wait to go there. Pure."""

from collections.abc import Callable, Iterable

from iii_cluster.bus.envelopes import Owner
from iii_cluster.routing.failures import stopped
from iii_cluster.routing.route import Target
from iii_cluster.routing.table import RouteTable

from .call import Call
from .parked import Parked


class Outages:
    """Works on the tables of one gateway's `Invocations`."""

    def __init__(
        self,
        pending: dict[str, Call],
        parked: Parked,
        routes: RouteTable,
        start: Callable[[Call], None],
        fail: Callable[[Call, bytes], None],
        complete: Callable[[str, bytes, bytes], None],
    ) -> None:
        """`fail` ends a call that has no target, `complete` ends any with its result or error."""
        self._pending = pending
        self._parked = parked
        self._routes = routes
        self._start = start
        self._fail = fail
        self._complete = complete

    def expire(self, now: float, limit: float) -> None:
        """Go on with parked calls that have another way by now; end those that have been parked for `limit` s."""
        if self._parked:
            self._start_again(self._parked.take_free())
            for node, call in self._parked.take_older(now - limit):
                self._fail(call, stopped(f"{node} cannot be reached"))

    def node_reachable(self, node: str, on: bool) -> None:
        """Somebody listens at a node again, or nobody does; then no map will tell of the end of one that is in none."""
        if on:
            self._start_again(self._parked.take(node))
        elif node not in self._routes.map.nodes:
            self._end_calls(lambda target: target.node == node, f"{node} cannot be reached")

    def node_lost(self, node: str, why: str) -> None:
        """End the calls that were sent to a node, find others for those that were not."""
        self._end_calls(lambda target: target.node == node, why)
        self._start_again(self._parked.take(node))

    def halt(self, owners: Iterable[Owner]) -> None:
        """These connections are closed, and their gateways lost: end the calls that were sent there."""
        closed = {(owner.node, owner.conn) for owner in owners}
        if closed:
            self._end_calls(lambda target: (target.node, target.conn) in closed, "its gateway was lost")

    def cut_off(self, why: str) -> None:
        """Redis is gone for too long: end every call that waits for another node."""
        self.end_calls_elsewhere(why, self._routes.node)
        for call in self._parked.take_all():
            self._fail(call, stopped(why))

    def end_calls_elsewhere(self, why: str, *here: str) -> None:
        """End the calls that were sent to any node but these."""
        self._end_calls(lambda target: target.node not in here, why)

    def _start_again(self, calls: list[Call]) -> None:
        for call in calls:
            if call.id in self._pending:
                self._start(call)

    def _end_calls(self, sent_to: Callable[[Target], bool], why: str) -> None:
        body = stopped(why)
        for invocation_id in [i for i, call in self._pending.items() if call.target and sent_to(call.target)]:
            self._complete(invocation_id, b"", body)
