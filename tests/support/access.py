"""A cluster whose gateways listen at more ports, with rules, and the worker that decides about them."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import Cluster, ClusterNode, running_cluster
from tests.support.raw import TIMEOUT, Frame, Handler, RawWorker, known, raw_worker

EXPOSED = [
    'match("open::*")',
    {"match": "shop::*", "namespace": "shop"},
    {"metadata": {"public": True, "name": 'match("*x*")'}},
    'match("state::get")',
    "engine::*",
    "iii::*",
]

# Ports after the main one, by what their rules are.
RULES, HOOKS, MIDDLEWARE, BOTH, LATE, MISSING = range(2, 8)
LISTENERS: list[Mapping[str, Any]] = [
    {"rbac": {"auth_function_id": "gate::auth", "expose_functions": EXPOSED}},
    {
        "rbac": {
            "auth_function_id": "gate::auth",
            "on_function_registration_function_id": "gate::function",
            "on_trigger_registration_function_id": "gate::trigger",
            "on_trigger_type_registration_function_id": "gate::type",
            "expose_functions": EXPOSED,
        }
    },
    {"middleware_function_id": "gate::all"},
    {"rbac": {"expose_functions": EXPOSED}, "middleware_function_id": "gate::all"},
    {"rbac": {"auth_function_id": "gate::late"}, "handshake_timeout_ms": 1000},
    {"rbac": {"auth_function_id": "gate::missing"}},
]


@contextmanager
def guarded_cluster(directory: Path, **arguments: Any) -> Iterator[Cluster]:
    """Every gateway has these listeners at ports of its own; see `at`."""
    entries = [{"name": "iii-worker-manager", "config": {"port": 0, **listener}} for listener in LISTENERS]
    config = yaml.safe_dump({"workers": [{"name": "iii-worker-manager"}, *entries]})
    with running_cluster(directory, config, **arguments) as cluster:
        yield cluster


def at(gateway: ClusterNode, listener: int = RULES, who: str = "", path: str = "/") -> str:
    """Where workers connect to a listener of a gateway, as `who`."""
    return f"ws://127.0.0.1:{gateway.ports[f'worker-{listener}']}{path}?who={who}"


class Gatekeeper:
    """A worker at a port without rules: its auth function answers with the rights of the `who` in the query, its
    hooks with what `hooks` says, and agree when it says nothing."""

    def __init__(self, worker: RawWorker) -> None:
        self.worker = worker
        self.rights: dict[str, Any] = {}
        self.asked: dict[str, list[Any]] = {}
        self.hooks: dict[str, Any] = {}  # by function id; an answer, or what makes one of what it was asked

    async def serve(self, *functions: str) -> None:
        for function in functions:
            await self.worker.register(function, self._answering(function))
        await known(self.worker, *functions)

    def _answering(self, function: str) -> Handler:
        def answer(frame: Frame) -> Any:
            data = frame["data"]
            self.asked.setdefault(function, []).append(data)
            if function == "gate::auth":
                said = self.rights.get(data["query_params"].get("who", [""])[0], {})
            else:
                said = self.hooks.get(function, {})
            return said(data) if callable(said) else said

        return answer


@asynccontextmanager
async def gatekeeper(gateway: ClusterNode) -> AsyncIterator[Gatekeeper]:
    async with raw_worker(gateway.url, name="gatekeeper") as worker:
        keeper = Gatekeeper(worker)
        await keeper.serve("gate::auth", "gate::function", "gate::trigger", "gate::type")
        yield keeper


async def forbidden(
    worker: RawWorker, function: str, data: Any = None, *, within: float = TIMEOUT, **fields: Any
) -> str:
    """Calls a function, which must be refused; returns why."""
    frame = await worker.result(await worker.begin(function, data, **fields), within)
    error = frame.get("error") or {}
    assert error.get("code") == "FORBIDDEN", frame
    return str(error["message"])


async def silence(worker: RawWorker, type: str, seconds: float = 0.3, **fields: Any) -> None:
    """Fails if such a frame comes within a time in which it would have come: for what must never happen."""
    await asyncio.sleep(seconds)
    await worker.nothing(type, **fields)
