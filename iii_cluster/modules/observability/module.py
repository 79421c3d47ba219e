"""The module `iii-observability`: gateways answer questions, one shard tells of what is new."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.imports import together
from iii_cluster.modules.module import Function, Module, TriggerType
from iii_cluster.telemetry.config import OBSERVABILITY, Observability

from . import triggers
from .alert_checks import check

if TYPE_CHECKING:  # the command line reads configurations without Redis
    from .running import Running


class ObservabilityModule(Module):
    id = OBSERVABILITY
    name = "Observability"
    Config = Observability

    def __init__(self, config: Observability) -> None:
        super().__init__(config)
        if wrong := check(config.alerts):
            raise together(wrong)
        self._made: Running | None = None

    @property
    def _running(self) -> "Running":
        if self._made is None:
            from .running import Running

            self._made = Running()
        return self._made

    def functions(self) -> Mapping[str, Function[Any]]:
        return self._running.functions()

    def trigger_types(self) -> Iterable[TriggerType]:
        yield TriggerType(
            id=triggers.LOG,
            description="Called with every log record of a level, whoever wrote it",
            check=triggers.check_log,
            trigger_request_format=triggers.LOG_CONFIG_SCHEMA,
            call_request_format=triggers.LOG_SCHEMA,
        )
        yield TriggerType(
            id=triggers.TRACE,
            description="Called with the ids of traces in which something happened, a few times per second",
            check=triggers.check_trace,
            trigger_request_format=triggers.TRACE_CONFIG_SCHEMA,
            call_request_format=triggers.TRACE_SCHEMA,
        )

    async def initialize(self, engine: Engine) -> None:
        self._running.begin(engine)

    async def shutdown(self) -> None:
        await self._running.stop()
