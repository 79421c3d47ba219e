"""The functions that look at queues and repair them."""

from collections.abc import Awaitable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct
from redis.exceptions import RedisError

from iii_cluster.modules.module import Function, Request
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.redis.commands import Unavailable
from iii_cluster.telemetry.context import ids_of, left_out

from .adapter import Adapter, Dead, Of, Queue
from .groups import Groups

QUEUE_NOT_SET = "queue_not_set"
MESSAGE_ID_NOT_SET = "message_id_not_set"
TOPIC_REQUIRED = "topic_required"
NAMED_BROKER = "function_queue"  # how named queues are listed
MAX_PAGE = 1000  # dead letters of one answer
MAX_OFFSET = 1_000_000


class QueueInput(Struct):
    queue: str | None = None
    topic: str | None = None


class MessageInput(Struct):
    message_id: str
    queue: str | None = None
    topic: str | None = None


class PageInput(Struct):
    queue: str | None = None
    topic: str | None = None
    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET)] = 0
    limit: Annotated[int, Meta(ge=0)] = 50


class Management:
    """Answers nothing before `begin`."""

    _adapter: Adapter
    _queues: Mapping[str, Queue]
    _groups: Groups

    def begin(self, adapter: Adapter, queues: Mapping[str, Queue], groups: Groups) -> None:
        """`queues` are the named ones."""
        self._adapter = adapter
        self._queues = queues
        self._groups = groups

    async def redrive(self, asked: QueueInput, request: Request) -> dict[str, Any]:
        name = _name(asked, request, QUEUE_NOT_SET)
        count = await _bounded(self._adapter.redrive(self._of(name)), "redrive_failed")
        return {"queue": name, "redriven": count}

    async def redrive_message(self, asked: MessageInput, request: Request) -> dict[str, Any]:
        name, id = _name(asked, request, QUEUE_NOT_SET), _message_id(asked, request)
        count = await _bounded(self._adapter.redrive_message(self._of(name), id), "redrive_message_failed")
        return {"queue": name, "message_id": id, "redriven": count}

    async def discard_message(self, asked: MessageInput, request: Request) -> dict[str, Any]:
        name, id = _name(asked, request, QUEUE_NOT_SET), _message_id(asked, request)
        count = await _bounded(self._adapter.discard_message(self._of(name), id), "discard_message_failed")
        return {"queue": name, "message_id": id, "redriven": count}

    async def purge(self, asked: QueueInput, request: Request) -> dict[str, Any]:
        name = _name(asked, request, QUEUE_NOT_SET)
        return {"queue": name, "purged": await _bounded(self._adapter.purge(self._of(name)), "purge_failed")}

    async def list_topics(self, _asked: Raw, _request: Request) -> list[dict[str, Any]]:
        subscribers = await self._groups.counts()
        topics = {*await _bounded(self._adapter.topics(), "list_topics_failed"), *subscribers} - self._queues.keys()
        rows = [(queue.name, NAMED_BROKER, queue.concurrency) for queue in self._queues.values()]
        rows += [(topic, self._adapter.broker_type, subscribers.get(topic, 0)) for topic in sorted(topics)]
        return [{"name": name, "broker_type": broker, "subscriber_count": count} for name, broker, count in rows]

    async def topic_stats(self, asked: QueueInput, request: Request) -> dict[str, Any]:
        name = _name(asked, request, TOPIC_REQUIRED)
        stats = await _bounded(self._adapter.stats(self._of(name)), "topic_stats_failed")
        queue = self._queues.get(name)
        consumers = (await self._groups.counts()).get(name, 0) if queue is None else queue.concurrency
        return {"depth": stats.depth, "consumer_count": consumers, "dlq_depth": stats.dead, "config": Raw(b"null")}

    async def dlq_topics(self, _asked: Raw, _request: Request) -> list[dict[str, Any]]:
        code = "dlq_topics_failed"
        rows = []
        for queue in self._queues.values():
            dead = (await _bounded(self._adapter.stats(queue), code)).dead
            rows.append({"topic": queue.name, "broker_type": NAMED_BROKER, "message_count": dead})
        for topic in await _bounded(self._adapter.topics(), code):
            dead = (await _bounded(self._adapter.stats(topic), code)).dead
            if dead and topic not in self._queues:
                rows.append({"topic": topic, "broker_type": self._adapter.broker_type, "message_count": dead})
        return rows

    async def dlq_messages(self, asked: PageInput, request: Request) -> list[dict[str, Any]]:
        name = _name(asked, request, TOPIC_REQUIRED)
        limit = min(asked.limit, MAX_PAGE)
        if not limit:
            return []
        found = await _bounded(self._adapter.dead(self._of(name), asked.offset, limit), "dlq_messages_failed")
        return [_row(dead) for dead in found]

    def functions(self) -> dict[str, Function[Any]]:
        return {
            "iii::queue::redrive": Function(self.redrive, QueueInput, "Begin anew with all dead letters of a queue."),
            "iii::queue::redrive_message": Function(self.redrive_message, MessageInput, "Redrive one dead letter."),
            "iii::queue::discard_message": Function(self.discard_message, MessageInput, "Delete one dead letter."),
            "iii::queue::purge": Function(self.purge, QueueInput, "Delete all jobs that wait in a queue."),
            "engine::queue::list_topics": Function(self.list_topics, Raw, "List queues and topics."),
            "engine::queue::topic_stats": Function(self.topic_stats, QueueInput, "Count the jobs of a queue."),
            "engine::queue::dlq_topics": Function(self.dlq_topics, Raw, "Count dead letters by queue."),
            "engine::queue::dlq_messages": Function(self.dlq_messages, PageInput, "Read dead letters of a queue."),
        }

    def _of(self, name: str) -> Of:
        return self._queues.get(name, name)


def _name(asked: QueueInput | MessageInput | PageInput, request: Request, code: str) -> str:
    name = asked.topic if asked.queue is None else asked.queue
    if name is None:
        field = "topic" if code == TOPIC_REQUIRED else "queue"
        raise EngineError(errors.DESERIALIZATION_ERROR, f"{request.function}: the field `{field}` is missing")
    if not name:
        raise EngineError(code, f"{request.function} needs the name of a queue")
    return name


def _message_id(asked: MessageInput, request: Request) -> str:
    if not asked.message_id:
        raise EngineError(MESSAGE_ID_NOT_SET, f"{request.function} needs a message_id")
    return asked.message_id


async def _bounded(asked: Awaitable[Any], code: str) -> Any:
    """What the broker answers; its failures under the function's own code."""
    try:
        return await asked
    except (Unavailable, RedisError) as error:
        raise EngineError(code, str(error)) from error


def _row(dead: Dead) -> dict[str, Any]:
    job = dead.job
    body = errors.read(errors.regular(dead.error) or errors.error_body("UNKNOWN", ""))
    trace_id, _ = ids_of(job.traceparent)
    return {
        "id": job.id,
        **({"function_id": job.function, "namespace": job.namespace} if job.function else {}),
        **({"trace_id": trace_id} if trace_id and not left_out(job.traceparent) else {}),
        "payload": Raw(job.data),
        "error": str(body),
        "failed_at": dead.failed_at // 1000,
        "retries": dead.attempts,
        "size_bytes": len(job.data),
    }
