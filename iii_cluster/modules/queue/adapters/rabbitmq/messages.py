"""Jobs as messages: the data is the body, everything else is in properties and headers. Pure."""

import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from aio_pika import DeliveryMode, Message

from iii_cluster.modules.queue.adapter import Dead, Job
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

MAX_ID = 255  # bytes of a message id
MAX_HEADERS = 64 * 2**10  # bytes of what clients put into headers: a message's must fit into one frame
MAX_ERROR = 8 * 2**10  # characters of an error's text
LONGEST_GROUP = 200  # characters of a message group; only whether two are equal matters


class Tried(NamedTuple):
    """A job, how often it has failed, and how often it was taken from the dead."""

    job: Job
    failures: int = 0
    redriven: int = 0


class IncomingMessage(NamedTuple):
    """What is read of a message."""

    body: bytes
    message_id: str | None
    headers: Mapping[str, Any]
    priority: int | None = None


def message_of(
    tried: Tried, *, topic: bool, total: int = 0, priority: int | None = None, ttl_ms: int = 0, dead: Dead | None = None
) -> Message:
    """`total`: attempts in all, for people. `ttl_ms`: when it moves on from where it is put, 0: never."""
    job = tried.job
    headers: dict[str, Any] = {"x-iii-created-at": job.created_at, "x-iii-redriven": tried.redriven}
    if topic:
        headers |= {"x-iii-job-id": job.id, "x-iii-attempts": tried.failures, "x-iii-max-attempts": total}
    else:
        headers |= {"function_id": job.function, "namespace": job.namespace, "x-attempt": tried.failures}
    if job.group:
        headers["x-iii-group"] = job.group if len(job.group) <= LONGEST_GROUP else _digest(job.group)
    for name, text in (("traceparent", job.traceparent), ("baggage", job.baggage)):
        if text:
            headers[name] = msgspec.json.decode(text)
    _check(job, headers)
    if dead is not None:
        headers |= {"x-iii-error": _shortened(dead.error), "x-iii-failed-at": dead.failed_at}
    return Message(
        job.data,
        message_id=job.id,
        headers=headers,
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        priority=priority,
        expiration=ttl_ms / 1000 if ttl_ms else None,
    )


def read(message: IncomingMessage) -> Tried:
    """Also of what somebody else has put into the queue."""
    headers = message.headers
    job = Job(
        id=_text(message.message_id) or _text(headers.get("x-iii-job-id")) or _digest(message.body.hex()),
        data=message.body,
        created_at=_number(headers.get("x-iii-created-at")),
        function=_text(headers.get("function_id")),
        namespace=_text(headers.get("namespace")) or "default",
        group=_text(headers.get("x-iii-group")),
        traceparent=_json(headers.get("traceparent")),
        baggage=_json(headers.get("baggage")),
    )
    failures = _number(headers.get("x-attempt", headers.get("x-iii-attempts")))
    return Tried(job, failures, _number(headers.get("x-iii-redriven")))


def read_dead(message: IncomingMessage) -> tuple[Dead, int]:
    """And how often the job was taken from the dead already."""
    tried = read(message)
    error = _text(message.headers.get("x-iii-error")).encode()
    failed_at = _number(message.headers.get("x-iii-failed-at"))
    return Dead(tried.job, error, failed_at, tried.failures), tried.redriven


def priority_of(data: bytes, field: str | None, most: int | None) -> int | None:
    """What an integer field of the data says, as far as the queue knows priorities."""
    if field is None or most is None:
        return None
    try:
        value = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return None
    number = value.get(field) if isinstance(value, dict) else None
    return min(max(number, 0), most) if isinstance(number, int) and not isinstance(number, bool) else None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _check(job: Job, headers: Mapping[str, Any]) -> None:
    """RabbitMQ closes the connection of who sends more, with everything else on it."""
    if len(job.id.encode()) > MAX_ID:
        raise EngineError(errors.INVALID_ARGUMENTS, f"the id of a message has at most {MAX_ID} bytes")
    if sum(len(str(value).encode()) for value in headers.values()) > MAX_HEADERS:
        raise EngineError(errors.PAYLOAD_TOO_LARGE, f"function, namespace and baggage exceed {MAX_HEADERS} bytes")


def _shortened(error: bytes) -> str:
    if len(error) <= MAX_ERROR:
        return error.decode()
    body = errors.read(error)
    return errors.error_body(body.code[:100], body.message[: MAX_ERROR // 8]).decode()


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _json(value: Any) -> bytes:
    text = _text(value)
    return msgspec.json.encode(text) if text else b""
