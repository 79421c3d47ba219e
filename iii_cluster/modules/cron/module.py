"""The cron module: gateways check expressions, shards keep time."""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from iii_cluster.cluster.map import Role
from iii_cluster.modules.adapters import AdapterChoice
from iii_cluster.modules.cluster_adapter import Cluster, load_named
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.module import Module, TriggerType

from . import jobs

if TYPE_CHECKING:  # the command line reads configurations without Redis
    from .service import CronService

CONFIG_SCHEMA = Raw(
    msgspec.json.encode(
        {
            "type": "object",
            "properties": {
                "expression": {"type": "string", "description": "second minute hour day month weekday [year], in UTC"},
                "condition_function_id": {"type": ["string", "null"]},
            },
            "required": ["expression"],
        }
    )
)
_TEXT = {"type": "string"}
EVENT_SCHEMA = Raw(
    msgspec.json.encode(
        {
            "type": "object",
            "properties": {"trigger": _TEXT, "job_id": _TEXT, "scheduled_time": _TEXT, "actual_time": _TEXT},
            "required": ["trigger", "job_id", "scheduled_time", "actual_time"],
        }
    )
)

logger = logging.getLogger(__name__)


class CronConfig(Struct, frozen=True, forbid_unknown_fields=True):
    adapter: AdapterChoice | None = None


class CronModule(Module):
    id = "iii-cron"
    name = "Cron"
    Config = CronConfig
    adapters = {  # noqa: RUF012
        "cluster": "iii_cluster.modules.cluster_adapter:Cluster",
        "kv": "iii_cluster.modules.cron.adapters:Kv",
        "redis": "iii_cluster.modules.cluster_adapter:Redis",
    }
    default_adapter = "cluster"

    def __init__(self, config: CronConfig) -> None:
        super().__init__(config)
        self._adapter = load_named(CronModule, config.adapter)
        self._service: CronService | None = None

    def trigger_types(self) -> Iterable[TriggerType]:
        yield TriggerType(
            id=jobs.TYPE,
            description="Called at the times of a cron expression, in UTC, once in the whole cluster",
            check=jobs.check,
            trigger_request_format=CONFIG_SCHEMA,
            call_request_format=EVENT_SCHEMA,
        )

    async def initialize(self, engine: Engine) -> None:
        if engine.role is not Role.SHARD:
            return
        from .service import CronService

        if self._adapter is not Cluster:
            logger.info("action=cron_adapter named=%s used=cluster", self._adapter.__name__.lower())
        self._service = CronService(engine)

    async def shutdown(self) -> None:
        service, self._service = self._service, None
        if service is not None:
            await service.stop()

    def describe(self) -> Mapping[str, Any]:
        return self._service.describe() if self._service is not None else {}
