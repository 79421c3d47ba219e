"""The functions that put jobs into queues and messages into topics."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from msgspec import Meta, Raw, Struct, field
from redis.exceptions import RedisError

from iii_cluster.modules.module import Function, Request
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable

from . import trace
from .adapter import Adapter, Group, Job, Queue
from .config import MAX_MS, MAX_NAME, QueueConfig

PUBLISH_FAILED = "publish_failed"
TOPIC_NOT_SET = "topic_not_set"
MAX_GROUP = 1024  # bytes of a message group

Delay = Annotated[int, Meta(ge=0, le=MAX_MS)]  # ms
Identifier = Annotated[str, Meta(min_length=1, max_length=256)]

_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class PublishInput(Struct):
    topic: str
    data: Raw
    delay_ms: Delay = 0


def _null() -> Raw:
    """Made by a function: an input whose default is a Raw would be listed without a schema."""
    return Raw(b"null")


class EnqueueInput(Struct, rename={"receipt": "messageReceiptId"}):
    queue: str
    function_id: str
    data: Raw = field(default_factory=_null)
    receipt: Identifier | None = None
    traceparent: Raw = field(default_factory=_null)
    baggage: Raw = field(default_factory=_null)
    namespace: str | None = None
    delay_ms: Delay | None = None


class Putting:
    """Answers nothing before `begin`."""

    _adapter: Adapter
    _configs: Mapping[str, QueueConfig]
    _queues: Mapping[str, Queue]
    _live: Callable[[str], Collection[Group]]

    def begin(
        self,
        adapter: Adapter,
        configs: Mapping[str, QueueConfig],
        queues: Mapping[str, Queue],
        live: Callable[[str], Collection[Group]],
    ) -> None:
        """`queues` are the named ones, `configs` what the file says of each. `live`: groups with triggers, by topic."""
        self._adapter = adapter
        self._live = live
        self._configs = configs
        self._queues = queues

    async def publish(self, asked: PublishInput, request: Request) -> None:
        """Returns when the message is durable."""
        if not asked.topic:
            raise EngineError(TOPIC_NOT_SET, f"{request.function} needs a topic")
        if len(asked.topic.encode()) > MAX_NAME:
            raise EngineError(PUBLISH_FAILED, f"the name of a topic may have {MAX_NAME} bytes")
        baggage = trace.baggage_for("", request.baggage)
        job = Job(str(uuid4()), bytes(asked.data), _now(), traceparent=request.traceparent, baggage=baggage)
        try:
            await self._adapter.publish(asked.topic, job, self._live(asked.topic), asked.delay_ms)
        except (Unavailable, RedisError) as error:
            raise EngineError(PUBLISH_FAILED, _told(error)) from error

    async def enqueue(self, asked: EnqueueInput, request: Request) -> dict[str, str]:
        """Returns when the job is durable. The receipt is its id: the same one again is the same job."""
        queue = self._queues.get(asked.queue)
        if queue is None:
            raise EngineError(errors.ENQUEUE_ERROR, f"queue '{asked.queue}' not found")
        config = self._configs[asked.queue]
        receipt = asked.receipt or str(uuid4())
        data = bytes(asked.data)
        job = Job(
            receipt,
            data,
            _now(),
            asked.function_id,
            asked.namespace or "default",
            message_group(config, data),
            trace.text(asked.traceparent) or request.traceparent,
            trace.baggage_for(asked.function_id, trace.text(asked.baggage) or request.baggage),
        )
        try:
            await self._adapter.enqueue(queue, job, config.delay_ms if asked.delay_ms is None else asked.delay_ms)
        except (Unavailable, RedisError) as error:
            raise EngineError(errors.ENQUEUE_ERROR, _told(error)) from error
        return {"messageReceiptId": receipt}

    def functions(self) -> dict[str, Function[Any]]:
        publish = "Publish a message to a topic: each group of its subscribers gets it once."
        return {
            "enqueue": Function(self.publish, PublishInput, publish),
            "iii::durable::publish": Function(self.publish, PublishInput, publish),
            "engine::queue::enqueue": Function(self.enqueue, EnqueueInput, "Put a job into a named queue."),
        }


def message_group(config: QueueConfig, data: bytes) -> str:
    """The message group of a fifo queue's job: the text of the field, or its JSON when it is no string."""
    field = config.message_group_field
    if config.type != "fifo" or field is None:
        return ""
    try:
        value = bytes(_fields(data).get(field, b""))
    except msgspec.MsgspecError:  # no object
        value = b""
    if not value:
        raise EngineError(errors.ENQUEUE_ERROR, f"the data has no field '{field}', which says its message group")
    if value == b"null":
        raise EngineError(errors.ENQUEUE_ERROR, f"the field '{field}', which says the message group, is null")
    if len(value) > MAX_GROUP:
        raise EngineError(errors.ENQUEUE_ERROR, f"the field '{field}' may have {MAX_GROUP} bytes")
    return msgspec.json.decode(value, type=str) if value.startswith(b'"') else value.decode()


def _told(error: Exception) -> str:
    """`Unavailable` may mean that it happened all the same."""
    return f"{error}; it may have been accepted" if isinstance(error, Unavailable) and error.maybe else str(error)


def _now() -> int:
    return time.time_ns() // 1_000_000
