"""Calls of modules that wait for the answer, with a time limit."""

import asyncio

from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

from .engine import Engine, Sent


class HandlerError(EngineError):
    """What a called function answered; `raw` is the whole error body, JSON."""

    def __init__(self, raw: bytes) -> None:
        body = errors.read(raw)
        super().__init__(body.code, body.message)
        self.raw = raw

    def body(self) -> bytes:
        """Passed on as it came."""
        return self.raw


async def call(
    engine: Engine,
    function: str,
    data: bytes,
    *,
    namespace: str = "default",
    metadata: bytes = b"",
    traceparent: bytes = b"",
    baggage: bytes = b"",
    once: str = "",
    sent: Sent | None = None,
    timeout: float | None = None,  # noqa: ASYNC109
) -> bytes:
    """The result as JSON, b"" for none. Raises HandlerError, or EngineError(TIMEOUT) after `timeout` seconds
    (`handler_timeout` of the settings when not given)."""
    limit = engine.settings.handler_timeout if timeout is None else timeout
    ended: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()

    def done(result: bytes, error: bytes) -> None:
        if not ended.done():
            ended.set_result((result, error))

    invocation = engine.invoke(
        function,
        data,
        done,
        namespace=namespace,
        metadata=metadata,
        traceparent=traceparent,
        baggage=baggage,
        once=once,
        sent=sent,
    )
    try:
        async with asyncio.timeout(limit):
            result, error = await ended
    except TimeoutError:
        raise EngineError(errors.TIMEOUT, f"{function} did not answer within {limit:g} s") from None
    finally:
        invocation.forget()
    if error:
        raise HandlerError(error)
    return result
