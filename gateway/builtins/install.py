"""Gives the core its engine functions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.access.guard import Guard
from gateway.access.sight import Sight, metadata_of
from gateway.call import Call, Done
from gateway.clients import older_than
from gateway.core import GatewayCore
from gateway.worker import Worker
from iii_cluster.cluster.durable import DurableTriggers
from iii_cluster.modules.host import ModuleHost
from iii_cluster.node.node import Node
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.gauges import Gauges

from . import durable, functions, triggers, workers
from .offered import Offered
from .survey import Survey

log = logging.getLogger(__name__)

Answer = Callable[[Worker | None, bytes], Awaitable[bytes]]  # of a call by a worker, or by a module

# Clients older than this mean instances when they list triggers, and know only their own kind of formats.
_TYPES_SINCE = (0, 13)


class Builtins:
    """Runs engine functions: the announcement at once, everything that asks the cluster as a task."""

    def __init__(self, core: GatewayCore, node: Node, host: ModuleHost, guard: Guard) -> None:
        self._core = core
        self._running: set[asyncio.Task[None]] = set()
        self._survey = survey = Survey(node.asker, node.membership)
        stored = DurableTriggers(node.redis, node.keys)
        stamps = core.registry.stamps
        kept = durable.DurableRegistrations(
            stored, node.bus, node.asker, survey, core.types, guard.registrations, stamps
        )
        names = core.builtins
        offered = Offered(host, names)
        names[workers.REGISTER] = self._register_worker
        sight = self._sight
        gauges = Gauges(node.telemetry)

        async def list_triggers(worker: Worker | None, data: bytes) -> bytes:
            if older_than(worker, *_TYPES_SINCE):
                return await triggers.old_listing(survey, data, await sight(worker))
            return await triggers.types_listing(survey, offered, data, await sight(worker))

        async def list_functions(worker: Worker | None, data: bytes) -> bytes:
            oldest = older_than(worker, *_TYPES_SINCE)
            return await functions.listing(survey, offered, data, await sight(worker), oldest_formats=oldest)

        def seen(ask: Callable[[bytes, Sight | None], Awaitable[bytes]]) -> Answer:
            async def answer(worker: Worker | None, data: bytes) -> bytes:
                return await ask(data, await sight(worker))

            return answer

        answers: dict[str, Answer] = {
            workers.LIST: seen(lambda data, sight: workers.listing(survey, gauges, data, sight)),
            workers.INFO: seen(lambda data, sight: workers.info(survey, gauges, data, sight)),
            functions.LIST: list_functions,
            functions.INFO: seen(lambda data, sight: functions.info(survey, offered, data, sight)),
            triggers.TYPES_LIST: list_triggers,
            triggers.TYPES_INFO: seen(lambda data, sight: triggers.type_info(survey, offered, data, sight)),
            triggers.OLD_TYPES_LIST: seen(lambda data, sight: triggers.old_types_listing(survey, offered, data, sight)),
            triggers.LIST: seen(lambda data, sight: triggers.listing(survey, data, sight)),
            triggers.INFO: seen(lambda data, sight: triggers.info(survey, offered, data, sight)),
            durable.REGISTER: kept.register,
            durable.UNREGISTER: kept.unregister,
        }
        for name, answer in answers.items():
            names[name] = self._as_task(name, answer)
        node.asker.answer("workers.list", lambda _node, _body: workers.local_rows(core))
        node.asker.answer("workers.names", lambda _node, _body: workers.local_names(core))

    async def _sight(self, worker: Worker | None) -> Sight | None:
        """What the caller may see; None: everything."""
        access = worker.access if worker is not None else None
        if worker is None or access is None or not access.restricted:
            return None
        rows = await self._survey.shards("functions.list") if access.by_metadata else []
        return Sight(worker, self._core.types.canonical, metadata_of(rows))

    def _register_worker(self, call: Call, done: Done) -> None:
        try:
            if call.caller is None:
                raise EngineError(errors.INVALID_ARGUMENTS, "only a worker can register itself")
            done(workers.register(self._core, call.caller, call.data), b"")
        except EngineError as error:
            done(b"", error.body())

    def _as_task(self, name: str, answer: Answer) -> Callable[[Call, Done], None]:
        def start(call: Call, done: Done) -> None:
            task = asyncio.create_task(self._run(name, answer(call.caller, call.data), done))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return start

    async def _run(self, name: str, answer: Awaitable[bytes], done: Done) -> None:
        try:
            done(await answer, b"")
        except EngineError as error:
            done(b"", error.body())
        except Exception:
            log.exception("action=engine_function_failed function=%s", name)
            done(b"", errors.error_body(errors.INTERNAL_ERROR, f"{name} failed, see the gateway's log"))
