"""Whether a connection may call a function, asked where the metadata of functions is known."""

import asyncio
from collections.abc import Callable, Container

from iii_cluster.access.rules import Access, Verdict
from iii_cluster.routing.table import RouteTable

# Functions of the engine do what their caller may. Called for a trigger or from a queue they have no caller, so workers
# under rules have to call them themselves.
_CALLER_DECIDES = ("engine::", "iii::")


class Decisions:
    def __init__(self, routes: RouteTable, builtins: Container[str]) -> None:
        self._routes = routes
        self._builtins = builtins

    def ask(self, access: Access, namespace: str, function: str, then: Callable[[Verdict], None]) -> None:
        """`then` is called with `ALLOWED` or the reason: at once, unless metadata decides that is not known here.

        No answer within the time of lookups is a refusal.
        """
        verdict = access.verdict(namespace, function)
        if verdict is not Verdict.METADATA:
            then(verdict)
        elif namespace == "default" and function in self._builtins:
            then(Verdict.HIDDEN)
        else:
            self._routes.metadata(namespace, function, lambda said: then(_verdict(access, namespace, function, said)))

    async def wait(self, access: Access, namespace: str, function: str) -> Verdict:
        """As `ask`."""
        decided: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self.ask(access, namespace, function, lambda verdict: None if decided.done() else decided.set_result(verdict))
        return await decided

    def for_others(self, namespace: str, function: str) -> bool:
        """Whether a function can be called on behalf of a worker under rules, by a trigger or a queue."""
        return not (namespace == "default" and function in self._builtins and function.startswith(_CALLER_DECIDES))


def not_for_others(function: str) -> str:
    return f"function '{function}' not allowed (it can only be called directly)"


def _verdict(access: Access, namespace: str, function: str, metadata: bytes) -> Verdict:
    return Verdict.ALLOWED if access.exposes(namespace, function, metadata) else Verdict.HIDDEN
