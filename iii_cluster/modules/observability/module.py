"""The module `iii-observability`: gateways answer questions, one shard tells of what is new."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from iii_cluster.modules.engine import Engine
from iii_cluster.modules.imports import BadConfig
from iii_cluster.modules.module import Function, Module, TriggerType
from iii_cluster.telemetry.config import OBSERVABILITY, Observability

from . import alerts, triggers

if TYPE_CHECKING:  # the command line reads configurations without Redis
    from .running import Running


class ObservabilityModule(Module):
    id = OBSERVABILITY
    name = "Observability"
    Config = Observability

    def __init__(self, config: Observability) -> None:
        super().__init__(config)
        refused = [rule.name for rule in config.alerts if alerts.refused(rule)]
        if refused:
            raise BadConfig(f"the alert {refused[0]} would call a function of the engine", "alerts")
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
