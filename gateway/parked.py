"""Calls that were not sent because nobody listens at the only nodes that serve them. Pure."""

from collections.abc import Callable

from iii_cluster.routing.table import RouteTable

from .backpressure import Backpressure
from .call import Call


class Parked:
    """Calls by the node they wait for, oldest first."""

    def __init__(self, routes: RouteTable, backpressure: Backpressure) -> None:
        self._routes = routes
        self._backpressure = backpressure
        self._calls: dict[str, list[Call]] = {}

    def __len__(self) -> int:
        return sum(len(calls) for calls in self._calls.values())

    def add(self, node: str, call: Call, now: float) -> None:
        if not call.parked_at:
            call.parked_at = now
        self._calls.setdefault(node, []).append(call)
        self._backpressure.to_parked(call.feeder, call.size)

    def take(self, node: str) -> list[Call]:
        """Those that wait for a node; they do not any more."""
        calls = self._calls.pop(node, [])
        for call in calls:
            self._backpressure.unparked(call.size)
        return calls

    def take_all(self) -> list[Call]:
        return [call for node in list(self._calls) for call in self.take(node)]

    def take_free(self) -> list[Call]:
        """Those whose function is served somewhere else by now, or by nobody any more."""
        blocked: dict[tuple[str, str], bool] = {}

        def free(call: Call) -> bool:
            key = call.namespace, call.function
            if key not in blocked:
                blocked[key] = self._routes.blocked(*key)
            return not blocked[key]

        return [call for _, call in self._take_if(free)]

    def take_older(self, than: float) -> list[tuple[str, Call]]:
        """Those parked before then, with the nodes they waited for."""
        return self._take_if(lambda call: call.parked_at < than)

    def _take_if(self, wanted: Callable[[Call], bool]) -> list[tuple[str, Call]]:
        taken: list[tuple[str, Call]] = []
        for node in list(self._calls):
            calls = self._calls.pop(node)
            chosen = [wanted(call) for call in calls]
            taken += [(node, call) for call, out in zip(calls, chosen, strict=True) if out]
            left = [call for call, out in zip(calls, chosen, strict=True) if not out]
            if left:
                self._calls[node] = left
        for _, call in taken:
            self._backpressure.unparked(call.size)
        return taken
