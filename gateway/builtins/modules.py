"""Functions of modules as functions of this gateway: each call is one task."""

import asyncio
import logging

from gateway.call import Call, Done
from gateway.core import GatewayCore
from iii_cluster.modules.host import ModuleHost
from iii_cluster.modules.module import Request
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.routing.failures import stopped

log = logging.getLogger(__name__)


class ModuleFunctions:
    """Gives the core the functions of `host`. They outlive incarnations of the node."""

    def __init__(self, core: GatewayCore, host: ModuleHost) -> None:
        self._backpressure = core.backpressure
        self._host = host
        self._running: dict[Call, asyncio.Task[None]] = {}
        for name in host.functions:
            core.builtins[name] = self._start

    def _start(self, call: Call, done: Done) -> None:
        self._backpressure.to_module(call.feeder, call.size)
        self._running[call] = asyncio.create_task(self._run(call, done))

    async def _run(self, call: Call, done: Done) -> None:
        size = call.size
        result, error = b"", b""
        try:
            result = await self._host.run(call.function, _request(call)) or b""
        except EngineError as failed:
            error = failed.body()
        except asyncio.CancelledError:
            error = stopped("its gateway stops")
            raise
        except Exception:
            log.exception("action=module_function_failed function=%s", call.function)
            error = errors.error_body(errors.INTERNAL_ERROR, f"{call.function} failed, see the gateway's log")
        finally:
            del self._running[call]
            self._backpressure.module_done(size)
            done(result, error)

    def cancel(self) -> None:
        """The modules are gone: end what still runs."""
        for task in self._running.values():
            task.cancel()


def _request(call: Call) -> Request:
    traceparent, baggage = call.trace
    return Request(
        call.function,
        call.data,
        call.caller.id if call.caller is not None else "",
        traceparent if traceparent[:1] == b'"' else b"",
        baggage if baggage[:1] == b'"' else b"",
        call.metadata if call.metadata != b"null" else b"",
    )
