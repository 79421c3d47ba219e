"""A cluster whose gateways listen at a second port with rules, and workers that decide about it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import Cluster, ClusterNode
from tests.support.raw import Frame, RawWorker, known, raw_worker

RBAC = {
    "auth_function_id": "gate::auth",
    "expose_functions": [
        'match("open::*")',
        {"match": "shop::*", "namespace": "shop"},
        {"metadata": {"public": True, "name": 'match("*x*")'}},
    ],
}
HOOKS = {
    "on_function_registration_function_id": "gate::function",
    "on_trigger_registration_function_id": "gate::trigger",
    "on_trigger_type_registration_function_id": "gate::type",
}


@contextmanager
def guarded_cluster(directory: Path, *listeners: Mapping[str, Any], **arguments: Any) -> Iterator[Cluster]:
    """`listeners` are those after the main one, each at any port; see `port`."""
    config = directory / "config.yaml"
    entries = [{"name": "iii-worker-manager", "config": {"port": 0, **listener}} for listener in listeners]
    config.write_text(yaml.safe_dump({"workers": [{"name": "iii-worker-manager"}, *entries]}))
    options = {**arguments.pop("options", {}), "config": str(config)}
    cluster = Cluster(directory, options=options, **arguments)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


def port(gateway: ClusterNode, number: int = 2, query: str = "") -> str:
    """Where a gateway's listener of this number takes workers."""
    return f"ws://127.0.0.1:{gateway.ports[f'worker-{number}']}/{query}"


def grants(frame: Frame) -> Any:
    """An auth function: the rights are in the query, as the parameter that names one of `rights`."""
    return frame["data"]


class Gatekeeper:
    """Answers the auth function: with what the test says for the `who` in the connection's query."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.rights: dict[str, Any] = {}

    def auth(self, frame: Frame) -> Any:
        self.asked.append(frame["data"])
        who = frame["data"]["query_params"].get("who", [""])[0]
        answer = self.rights.get(who, {})
        return answer(frame) if callable(answer) else answer


@asynccontextmanager
async def gatekeeper(url: str) -> AsyncIterator[tuple[RawWorker, Gatekeeper]]:
    """A worker with the auth function `gate::auth` at a port without rules."""
    keeper = Gatekeeper()
    async with raw_worker(url, name="gatekeeper") as worker:
        await worker.register("gate::auth", keeper.auth)
        await known(worker, "gate::auth")
        yield worker, keeper
