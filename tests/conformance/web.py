"""HTTP requests of tests, each on a connection of its own."""

import json
from typing import Any

import aiohttp
from msgspec import Struct
from multidict import CIMultiDictProxy

from tests.support.cluster import Cluster
from tests.support.eventually import eventually

PATIENCE = aiohttp.ClientTimeout(total=30)


class Answer(Struct):
    status: int
    headers: "CIMultiDictProxy[str]"
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(cluster: Cluster, gateway: int, method: str, path: str, **request: Any) -> Answer:
    """Of that gateway of the cluster; `request` is what aiohttp takes."""
    url = f"http://127.0.0.1:{cluster.gateways[gateway].ports['http']}{path}"
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        session.request(method, url, **request) as response,
    ):
        return Answer(response.status, response.headers, await response.read())


async def routed(cluster: Cluster, method: str, path: str, *gateways: int) -> None:
    """Returns when the path is known to these gateways, all unless some are named; no handler is called for it."""
    for gateway in gateways or range(len(cluster.gateways)):

        async def allowed(gateway: int = gateway) -> bool:
            answer = await ask(cluster, gateway, "OPTIONS", path)
            return method in answer.headers.get("allow", "").replace(" ", "").split(",")

        await eventually(allowed, within=60)  # a program may have to start first
