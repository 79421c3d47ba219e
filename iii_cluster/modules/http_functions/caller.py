"""A whole call: checked anew, sent, redirected and repeated as far as that is allowed, within its time."""

import asyncio
import time

from iii_cluster.outgoing.answer import Answer
from iii_cluster.outgoing.client import Client
from iii_cluster.outgoing.failures import REQUEST_FAILED, ExchangeFailed
from iii_cluster.outgoing.names import Names
from iii_cluster.outgoing.urls import Target, UrlPolicy
from iii_cluster.protocol.errors import EngineError

from . import repeats
from .answer import result_of
from .config import HttpFunctionsConfig
from .definition import HttpFunction
from .places import Places
from .request import CallOf, Request, request_of

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Caller:
    """Calls HTTP functions for one gateway."""

    def __init__(self, config: HttpFunctionsConfig, policy: UrlPolicy, names: Names, client: Client) -> None:
        self._config = config
        self._policy = policy
        self._names = names
        self._client = client
        self._clock = asyncio.get_running_loop().time
        self.places = Places(config.max_concurrent, config.max_per_host)

    async def call(self, function: HttpFunction, call: CallOf) -> bytes:
        """The result as JSON. Raises EngineError."""
        request = request_of(function, call)
        deadline = self._clock() + function.timeout
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._send(request, deadline)
        except TimeoutError:
            limit = f"{function.timeout * 1000:.0f} ms"
            raise EngineError(REQUEST_FAILED, f"the call of {function.target.place} timed out after {limit}") from None
        except ExchangeFailed as failed:
            raise failed.as_error() from None
        return result_of(answer, self._config.max_response_bytes)

    async def _send(self, request: Request, deadline: float) -> Answer:
        """The answer that counts."""
        answer = await self._repeat(request, deadline)
        most = self._config.security.max_redirects
        for _ in range(most):
            if not _points_elsewhere(answer):
                return answer
            there = self._policy.check_redirect(request.target, answer.location)
            request = request.redirected(answer.status, there)
            answer = await self._repeat(request, deadline)
        if most and _points_elsewhere(answer):
            raise EngineError(REQUEST_FAILED, f"more than {most} redirects")
        return answer

    async def _repeat(self, request: Request, deadline: float) -> Answer:
        number = 0
        while True:
            number += 1
            last = number > self._config.retries
            try:
                answer = await self._exchange(request)
            except ExchangeFailed as failed:
                pause = repeats.pause(number)
                if last or not repeats.after_failure(request.method, failed) or not self._fits(pause, deadline):
                    raise
            else:
                wanted = repeats.retry_after(answer.retry_after, time.time())
                pause = repeats.pause(number, wanted)
                if last or not repeats.after_answer(request.method, answer) or not self._fits(pause, deadline):
                    return answer
            await asyncio.sleep(pause)

    def _fits(self, pause: float, deadline: float) -> bool:
        return self._clock() + pause < deadline

    async def _exchange(self, request: Request) -> Answer:
        target = request.target
        async with self.places.at(target.host):
            await self.check(target)
            return await self._client.exchange(request.method, target, request.headers(), request.body)

    async def check(self, target: Target) -> None:
        """What a name server has to say of it. Raises EngineError `url_validation_failed`."""
        if target.address is None:
            await self._names.addresses(target.host)


def _points_elsewhere(answer: Answer) -> bool:
    return answer.status in _REDIRECTS and bool(answer.location)
