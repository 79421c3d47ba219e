"""The queue module: what it offers, and what it does in gateways and in shards."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.modules.adapters import load_adapter
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.module import Function, Module, TriggerType
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

from .adapter import Adapter
from .config import MAX_NAME, Config, all_queues, queue_of
from .consumption import Consumption
from .groups import Groups
from .management import Management
from .numbers import Numbers
from .putting import Putting
from .retention import Retention
from .subscribers import DURABLE, SHARED

ADAPTERS = "iii_cluster.modules.queue.adapters"


class QueueModule(Module):
    id: ClassVar[str] = "iii-queue"
    name: ClassVar[str] = "Queues"
    Config: ClassVar[Any] = Config
    adapters: ClassVar[Mapping[str, str]] = {
        "redis": f"{ADAPTERS}.redis.adapter:RedisAdapter",
        "builtin": f"{ADAPTERS}.redis.builtin:BuiltinAdapter",
        "rabbitmq": f"{ADAPTERS}.rabbitmq.adapter:RabbitMQAdapter",
    }
    default_adapter: ClassVar[str] = "redis"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._configs = all_queues(config)
        self._putting = Putting()
        self._management = Management()
        self._adapter: Adapter | None = None
        self._groups: Groups | None = None
        self._consumption: Consumption | None = None
        self._numbers: Numbers | None = None
        self._retention: Retention | None = None

    def functions(self) -> Mapping[str, Function[Any]]:
        return {**self._putting.functions(), **self._management.functions()}

    def trigger_types(self) -> Iterable[TriggerType]:
        return [
            self._type(SHARED, "Messages of a topic; all triggers of this type on a topic share them"),
            self._type(DURABLE, "Messages of a topic; each function gets all of them, its triggers share"),
        ]

    def _type(self, id: str, description: str) -> TriggerType:
        return TriggerType(
            id=id,
            description=description,
            check=_check,
            registered=self._registered,
            unregistered=self._unregistered,
            trigger_request_format=Raw(_CONFIG_SCHEMA),
        )

    async def initialize(self, engine: Engine) -> None:
        kind, config = load_adapter(type(self), self.config.adapter)
        adapter: Adapter = kind(config, engine)
        queues = {name: queue_of(name, of, engine.settings.handler_timeout) for name, of in self._configs.items()}
        await adapter.start()
        self._adapter = adapter
        if engine.role is Role.SHARD:
            self._consumption = Consumption(engine, adapter, queues)
            self._numbers = Numbers(engine, adapter, self._consumption)
            if hours := self.config.group_retention_hours:
                self._retention = Retention(engine, adapter, self._consumption.attended, hours * 3600)
            return
        self._groups = Groups(engine, adapter)
        self._putting.begin(adapter, self._configs, queues, self._groups.live)
        self._management.begin(adapter, queues, self._groups)

    async def shutdown(self) -> None:
        if self._groups is not None:
            await self._groups.stop()
            self._groups = None
        if self._retention is not None:
            await self._retention.stop()
            self._retention = None
        if self._numbers is not None:
            await self._numbers.stop()
            self._numbers = None
        if self._consumption is not None:
            await self._consumption.stop()
            self._consumption = None
        if self._adapter is not None:
            await self._adapter.stop()
            self._adapter = None

    def describe(self) -> Mapping[str, Any]:
        return self._consumption.describe() if self._consumption is not None else {}

    def _registered(self, trigger: Trigger) -> None:
        if self._groups is not None:
            self._groups.registered(trigger)

    def _unregistered(self, trigger: Trigger) -> None:
        if self._groups is not None:
            self._groups.unregistered(trigger)


def _check(trigger: Trigger) -> None:
    """A trigger without a topic is let in, as ever; a topic that cannot be stored is not."""
    try:
        config = msgspec.json.decode(trigger.config)
    except msgspec.MsgspecError:
        return
    topic = config.get("topic") if isinstance(config, dict) else None
    if isinstance(topic, str) and len(topic.encode()) > MAX_NAME:
        raise EngineError(errors.TRIGGER_REGISTRATION_FAILED, f"the name of a topic may have {MAX_NAME} bytes")


_CONFIG_SCHEMA = msgspec.json.encode(
    {
        "type": "object",
        "properties": {
            "topic": {"type": "string"},
            "condition_function_id": {"type": "string"},
            "queue_config": {
                "type": "object",
                "properties": {
                    "type": {"type": "string", "enum": ["standard", "fifo"]},
                    "maxRetries": {"type": "integer", "minimum": 0},
                    "concurrency": {"type": "integer", "minimum": 0},
                    "backoffDelayMs": {"type": "integer", "minimum": 0},
                },
            },
        },
        "required": ["topic"],
    }
)
