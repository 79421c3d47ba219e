"""The HTTP functions module: only there when the configuration names it.

Gateways call what their own workers registered; shards have nothing to do with it.
"""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from iii_cluster.bus.envelopes import Invoke
from iii_cluster.cluster.map import Role
from iii_cluster.config.load import to_environment
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.module import Module
from iii_cluster.outgoing.names import Names
from iii_cluster.outgoing.urls import UrlPolicy
from iii_cluster.protocol.errors import INTERNAL_ERROR, EngineError

from .config import HttpFunctionsConfig
from .credentials import Variables
from .definition import HttpFunction, read_invocation
from .request import CallOf

if TYPE_CHECKING:
    from iii_cluster.outgoing.client import Client

    from .caller import Caller

log = logging.getLogger(__name__)


class HttpFunctionsModule(Module):
    id = "iii-http-functions"
    name = "HTTP functions"
    Config = HttpFunctionsConfig

    def __init__(self, config: HttpFunctionsConfig) -> None:
        super().__init__(config)
        self.config: HttpFunctionsConfig = config
        self._policy = UrlPolicy(config.security)
        self._variables = Variables({}, ())
        self._names: Names | None = None
        self._client: Client | None = None
        self._caller: Caller | None = None

    async def initialize(self, engine: Engine) -> None:
        if engine.role is not Role.GATEWAY:
            return
        # Only here: aiohttp is slow to import and large, and most have no use for it.
        from iii_cluster.outgoing.client import Client

        from .caller import Caller

        own = to_environment(engine.settings).values()
        self._variables = Variables(os.environ, self.config.security.env_allowlist, own)
        for glob in (self._policy.bad_glob, self._variables.bad_glob):
            if glob:
                log.error("action=bad_glob module=%s glob=%r effect='nothing is allowed'", self.id, glob)
        self._names = Names(self._policy.allows)
        self._client = Client(self._names, self._policy.allows, self.config.max_response_bytes)
        self._caller = Caller(self.config, self._policy, self._names, self._client)

    async def shutdown(self) -> None:
        client, names = self._client, self._names
        self._caller = self._client = self._names = None
        if client is not None:
            await client.close()
        if names is not None:
            await names.close()

    def read(self, invocation: Raw) -> HttpFunction:
        """What a worker registers, as far as that can be judged at once. Raises EngineError."""
        return read_invocation(invocation, self._policy.check, self._variables)

    async def check(self, function: HttpFunction) -> None:
        """The rest of it, which a name server has to be asked for. Raises EngineError."""
        await self._running.check(function.target)

    async def call(self, function: HttpFunction, invoke: Invoke) -> bytes:
        """The result as JSON. Raises EngineError."""
        call = CallOf(invoke.function, invoke.id, invoke.data, invoke.traceparent, invoke.baggage)
        return await self._running.call(function, call)

    @property
    def _running(self) -> "Caller":
        if self._caller is None:
            raise EngineError(INTERNAL_ERROR, "the gateway stops")
        return self._caller

    def describe(self) -> Mapping[str, Any]:
        if self._caller is None:
            return {}
        places = self._caller.places
        return {"requests": places.taken, "waiting": places.waiting}
