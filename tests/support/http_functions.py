"""A caller of HTTP functions with its client, without a gateway."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iii_cluster.modules.http_functions.caller import Caller
from iii_cluster.modules.http_functions.config import HttpFunctionsConfig
from iii_cluster.modules.http_functions.credentials import Variables
from iii_cluster.modules.http_functions.definition import read_invocation
from iii_cluster.modules.http_functions.request import CallOf
from iii_cluster.outgoing.client import Client
from iii_cluster.outgoing.names import Names
from iii_cluster.outgoing.security import Security
from iii_cluster.outgoing.urls import UrlPolicy
from iii_cluster.protocol.errors import EngineError

OPEN = Security(require_https=False, block_private_ips=False)
VARIABLES = Variables({"SECRET": "key", "TOKEN": "t0ken"}, ("*",))


class Calling:
    """A caller with its client."""

    def __init__(self, config: HttpFunctionsConfig, lookup: Callable[[str], Awaitable[Sequence[str]]] | None) -> None:
        self.policy = UrlPolicy(config.security)
        names = Names(self.policy.allows, lookup)
        self.client = Client(names, self.policy.allows, config.max_response_bytes)
        self.caller = Caller(config, self.policy, names, self.client)

    async def __call__(self, url: str, data: Any = None, **more: Any) -> Any:
        raw = json.dumps({"url": url, **more}).encode()
        function = read_invocation(raw, self.policy.check, VARIABLES)
        return json.loads(await self.caller.call(function, CallOf("f", "i-1", json.dumps(data).encode())))

    async def fails(self, url: str, data: Any = None, **more: Any) -> tuple[str, str]:
        with pytest.raises(EngineError) as failed:
            await self(url, data, **more)
        return failed.value.code, failed.value.message


@asynccontextmanager
async def calling(
    security: Security = OPEN, lookup: Callable[[str], Awaitable[Sequence[str]]] | None = None, **limits: Any
) -> AsyncIterator[Calling]:
    made = Calling(HttpFunctionsConfig(security, **limits), lookup)
    try:
        yield made
    finally:
        await made.client.close()


def hosts(rows: dict[str, str]) -> Callable[[str], Awaitable[Sequence[str]]]:
    """A lookup that knows these names, with their addresses separated by spaces."""

    async def lookup(host: str) -> Sequence[str]:
        if host not in rows:
            raise OSError("no such host")
        return rows[host].split()

    return lookup
