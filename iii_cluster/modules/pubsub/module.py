"""The pub/sub module: fire and forget, at most once, every subscription on its own."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.cluster.map import Role
from iii_cluster.modules.adapters import AdapterChoice
from iii_cluster.modules.cluster_adapter import Cluster, load_named
from iii_cluster.modules.conditions import Conditions
from iii_cluster.modules.engine import Engine, Watched
from iii_cluster.modules.module import Function, Module, Request, TriggerType
from iii_cluster.modules.spans import DeliverySpan, deliver
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

from .topics import Topics

TYPE = "subscribe"
TOPIC_NOT_SET = "topic_not_set"

MAX_CONDITIONS = 10_000  # asked at the same time; events of more subscriptions with a condition are dropped
CALLS_PER_TURN = 256  # subscriptions told before others have their turn

CONFIG_SCHEMA = Raw(
    msgspec.json.encode(
        {
            "type": "object",
            "properties": {"topic": {"type": "string"}, "condition_function_id": {"type": ["string", "null"]}},
            "required": ["topic"],
        }
    )
)

logger = logging.getLogger(__name__)


class Publish(Struct):
    topic: str
    data: Raw


class PubSubConfig(Struct, frozen=True, forbid_unknown_fields=True):
    adapter: AdapterChoice | None = None


class PubSubModule(Module):
    id = "iii-pubsub"
    name = "Pub/sub"
    Config = PubSubConfig
    adapters = {  # noqa: RUF012
        "cluster": "iii_cluster.modules.cluster_adapter:Cluster",
        "local": "iii_cluster.modules.pubsub.adapters:Local",
        "redis": "iii_cluster.modules.cluster_adapter:Redis",
    }
    default_adapter = "cluster"

    def __init__(self, config: PubSubConfig) -> None:
        super().__init__(config)
        self._adapter = load_named(PubSubModule, config.adapter)
        self._topics = Topics()
        self._outdated = False
        self._asking: set[asyncio.Task[None]] = set()
        self._dropped = 0
        self._engine: Engine | None = None
        self._watched: Watched | None = None
        self._conditions: Conditions | None = None

    def functions(self) -> Mapping[str, Function[Any]]:
        return {"publish": Function(self._publish, Publish, "Tell all subscribers of a topic")}

    def trigger_types(self) -> Iterable[TriggerType]:
        yield TriggerType(
            id=TYPE, description="Called with what is published to a topic", trigger_request_format=CONFIG_SCHEMA
        )

    async def initialize(self, engine: Engine) -> None:
        if engine.role is not Role.GATEWAY:
            return
        if self._adapter is not Cluster:
            logger.info("action=pubsub_adapter named=%s used=cluster", self._adapter.__name__.lower())
        self._engine = engine
        self._conditions = Conditions(engine)
        self._outdated = True
        self._watched = engine.watch(TYPE, self._changed)

    async def shutdown(self) -> None:
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)

    def describe(self) -> Mapping[str, Any]:
        if self._engine is None:
            return {}
        return {
            "topics": len(self._topics),
            "subscriptions": self._topics.subscriptions,
            "conditions_asked": len(self._asking),
            "dropped": self._dropped,
        }

    def _changed(self) -> None:
        self._outdated = True  # many changes may come before the next event

    async def _publish(self, input: Publish, request: Request) -> None:
        if not input.topic:
            raise EngineError(TOPIC_NOT_SET, "publish needs a topic that is not empty")
        topics = await self._current()
        data = bytes(input.data)
        for count, (trigger, conditional) in enumerate(topics.of(input.topic), 1):
            if conditional:
                self._ask(trigger, data, request)
            else:
                self._tell(trigger, data, request)
            if count % CALLS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _current(self) -> Topics:
        assert self._engine is not None
        assert self._watched is not None
        if not self._watched.known:
            limit = self._engine.settings.redis_outage_limit
            try:
                async with asyncio.timeout(limit):
                    await self._watched.until_known()
            except TimeoutError:
                raise EngineError(errors.TIMEOUT, f"no shard said within {limit:g} s who subscribes") from None
        if self._outdated:
            self._outdated = False
            self._topics.update(self._watched.all())
        return self._topics

    def _tell(self, trigger: Trigger, data: bytes, request: Request) -> None:
        self._invoke(trigger, data, self._span(trigger, request))

    def _span(self, trigger: Trigger, request: Request) -> DeliverySpan:
        assert self._engine is not None
        return deliver(self._engine, f"trigger {trigger.function}", request.trace, function=trigger.function)

    def _invoke(self, trigger: Trigger, data: bytes, span: DeliverySpan) -> None:
        assert self._engine is not None
        traceparent, baggage = span.trace
        self._engine.invoke(
            trigger.function,
            data,
            span.answered if span.recorded else None,
            namespace=trigger.namespace,
            metadata=trigger.metadata,
            traceparent=traceparent,
            baggage=baggage,
        )

    def _ask(self, trigger: Trigger, data: bytes, request: Request) -> None:
        """A task for a subscription with a condition: what it waits for has a time limit."""
        if len(self._asking) >= MAX_CONDITIONS:
            if not self._dropped:
                logger.warning("action=pubsub_dropped conditions_asked=%d", len(self._asking))
            self._dropped += 1
            return
        task = asyncio.get_running_loop().create_task(self._tell_if_allowed(trigger, data, request))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _tell_if_allowed(self, trigger: Trigger, data: bytes, request: Request) -> None:
        assert self._conditions is not None
        span = self._span(trigger, request)
        if await self._conditions.allow(trigger, data, span.trace):
            self._invoke(trigger, data, span)
        else:
            span.refused()
