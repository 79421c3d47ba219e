"""POST requests that tell of alerts. Addresses are held to the rules that HTTP functions are held to."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from iii_cluster.config.modules import HTTP_FUNCTIONS
from iii_cluster.outgoing.failures import HTTPS_REQUIRED, NOT_ALLOWED, PRIVATE_IP, ExchangeFailed
from iii_cluster.outgoing.names import Names
from iii_cluster.outgoing.security import Security
from iii_cluster.outgoing.urls import Target, UrlPolicy
from iii_cluster.protocol.errors import EngineError

if TYPE_CHECKING:
    from iii_cluster.outgoing.client import Client

TIMEOUT = 30.0  # seconds for one attempt
PAUSES = (1.0, 2.0, 4.0)  # seconds after the attempts, but the last
ATTEMPTS = 3
MAX_ANSWER = 64 * 2**10  # bytes; nobody reads it

ALLOWED = {
    HTTPS_REQUIRED: f"`security.require_https: false` of {HTTP_FUNCTIONS} allows http",
    PRIVATE_IP: f"`security.block_private_ips: false` of {HTTP_FUNCTIONS} allows it",
    NOT_ALLOWED: f"`security.url_allowlist` of {HTTP_FUNCTIONS} says which hosts are allowed",
}

log = logging.getLogger(__name__)


def security_of(http_functions: dict[str, Any]) -> Security:
    """What the config of that module says of outgoing requests. Raises BadConfig."""
    from iii_cluster.modules.http_functions.config import HttpFunctionsConfig
    from iii_cluster.modules.imports import convert

    security: Security = convert(http_functions, HttpFunctionsConfig).security
    return security


def forbidden(url: str, security: Security) -> tuple[str, str] | None:
    """Why nobody may be told there, as far as the URL says, and what would allow it."""
    try:
        UrlPolicy(security).check(url)
    except EngineError as error:
        return error.message, ALLOWED.get(error.message, "")
    return None


def hinted(problem: str) -> str:
    """With what would allow it."""
    allowed = ALLOWED.get(problem)
    return f"{problem} ({allowed})" if allowed else problem


class Webhooks:
    """Nothing is made before the first one is told."""

    def __init__(self, security: Security, pauses: tuple[float, ...] = PAUSES) -> None:
        self._policy = UrlPolicy(security)
        self._pauses = pauses
        self._names: Names | None = None
        self._client: Client | None = None

    async def tell(self, name: str, url: str, body: bytes) -> str:
        """Until somebody answers with success; what went wrong, which is logged, too, without the URL."""
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._pauses[attempt - 1])
            try:
                async with asyncio.timeout(TIMEOUT):
                    status = await self._post(url, body)
            except EngineError as error:
                problem = hinted(error.message)
                break  # it will not become allowed
            except (ExchangeFailed, TimeoutError) as error:
                problem = str(error) or f"no answer within {TIMEOUT:g} s"
            else:
                if 200 <= status < 300:
                    return ""
                problem = f"HTTP {status}"
        log.warning("action=alert_webhook_failed alert=%s attempts=%d error=%r", name, attempt + 1, problem)
        return problem

    async def _post(self, url: str, body: bytes) -> int:
        target: Target = self._policy.check(url)
        if self._client is None or self._names is None:
            # Only here: aiohttp is slow to import and large, and most have no use for it.
            from iii_cluster.outgoing.client import Client

            self._names = Names(self._policy.allows)
            self._client = Client(self._names, self._policy.allows, MAX_ANSWER)
        if target.address is None:
            await self._names.addresses(target.host)
        answer = await self._client.exchange("POST", target, [("Content-Type", "application/json")], body)
        return answer.status

    async def close(self) -> None:
        client, names = self._client, self._names
        self._client = self._names = None
        if client is not None:
            await client.close()
        if names is not None:
            await names.close()
