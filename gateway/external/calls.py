"""HTTP functions of this gateway's workers: taken from registrations, called in tasks of their own.

A call has nothing to do with the connection of the worker that registered the function: once begun it goes on when
that is closed, or moves. Its end is told to whoever made it.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from gateway.announcer import FUNCTION
from gateway.core import GatewayCore
from gateway.worker import Worker
from iii_cluster.bus.envelopes import Invoke
from iii_cluster.modules.http_functions.failures import REQUEST_FAILED
from iii_cluster.modules.module import Module
from iii_cluster.protocol import errors, messages
from iii_cluster.protocol.errors import EngineError
from iii_cluster.routing.failures import stopped

from .congestion import Congestion
from .inside import for_outside
from .outside import log_refusal
from .spans import begin_span

if TYPE_CHECKING:
    from iii_cluster.modules.http_functions.definition import HttpFunction
    from iii_cluster.modules.http_functions.module import HttpFunctionsModule

log = logging.getLogger(__name__)

MODULE = "iii-http-functions"
# After this time the host of a function that is being registered is looked up once more, if it was not found (s).
LOOK_AGAIN = 1.0
# Hosts that are looked up for registrations at once; beyond, only calls find out.
MAX_CHECKS = 10_000


def external_calls(core: GatewayCore, modules: Iterable[Module]) -> "ExternalCalls | None":
    """None when the configuration does not name the module."""
    for module in modules:
        if module.id == MODULE:
            return ExternalCalls(core, cast("HttpFunctionsModule", module))
    return None


class ExternalCalls:
    """Outlives incarnations of the node. Implements `Outside`."""

    def __init__(self, core: GatewayCore, module: "HttpFunctionsModule") -> None:
        self._core = core
        self._module = module
        self._running: set[asyncio.Task[tuple[bytes, bytes]]] = set()  # calls
        self._checks: set[asyncio.Task[None]] = set()
        self._congestion = Congestion(core.backpressure)
        core.registry.outside = core.invocations.outside = self

    @property
    def in_flight(self) -> int:
        return len(self._running)

    # -- registrations -----------------------------------------------------------------------------

    def admit(self, worker: Worker, message: messages.RegisterFunction) -> "HttpFunction | None":
        """What needs a name server is checked when it is registered already; until then its calls find out."""
        try:
            function = self._module.read(message.invocation)
        except EngineError as error:
            log_refusal(worker, message.id, str(error))
            return None
        if function.target.address is None and len(self._checks) < MAX_CHECKS:
            check = asyncio.create_task(self._check(worker, message.id, function))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)
        return function

    async def _check(self, worker: Worker, id: str, function: "HttpFunction") -> None:
        try:
            try:
                await self._module.check(function)
            except EngineError:
                await asyncio.sleep(LOOK_AGAIN)
                await self._module.check(function)
        except EngineError as error:
            known = worker.registrations.get((FUNCTION, worker.namespace, id))
            if known is not None and known.outside is function:
                log_refusal(worker, id, str(error))
                self._core.registry.unregister_function(worker, messages.UnregisterFunction(id))

    # -- calls -------------------------------------------------------------------------------------

    def take(self, worker: Worker, invoke: Invoke, origin: str, feeder: Worker | None) -> bool:
        known = worker.registrations.get((FUNCTION, invoke.namespace, invoke.function))
        if known is None or known.outside is None:
            return False
        size = len(invoke.data)
        if not self._congestion.add(worker, origin, feeder, size):
            error = errors.error_body(REQUEST_FAILED, "too many calls of HTTP functions wait at this gateway")
            self._end(origin, invoke.id, b"", error)
            return True
        task = asyncio.create_task(self._run(known.outside, invoke))
        self._running.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, origin, invoke.id, size))
        return True

    async def _run(self, function: "HttpFunction", invoke: Invoke) -> tuple[bytes, bytes]:
        """Result and error."""
        span = begin_span(self._core.telemetry.tracer, function, invoke)
        if span is not None:
            invoke = replace(invoke, traceparent=span.trace[0], baggage=span.trace[1])
        result, error = b"", stopped("its gateway stops")
        try:
            told = replace(invoke, data=for_outside(invoke.data))
            result, error = await self._module.call(function, told), b""
        except EngineError as failed:
            error = failed.body()
        except Exception:
            log.exception("action=http_function_failed function=%r", invoke.function)
            error = errors.error_body(errors.INTERNAL_ERROR, "the HTTP function failed, see the gateway's log")
        finally:
            if span is not None:
                span.end(error)
        return result, error

    def _ended(self, task: asyncio.Task[tuple[bytes, bytes]], origin: str, id: str, size: int) -> None:
        self._running.discard(task)
        self._congestion.remove(size)
        result, error = (b"", stopped("its gateway stops")) if task.cancelled() else task.result()
        self._end(origin, id, result, error)

    def _end(self, origin: str, id: str, result: bytes, error: bytes) -> None:
        self._core.invocations.served(origin or self._core.node, id, result, error)

    async def stop(self) -> None:
        """End what still runs."""
        tasks = [*self._running, *self._checks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
