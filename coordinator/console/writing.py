"""What can be changed: functions called, queues repaired, values set. Each attempt is one line of the log."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from iii_cluster.protocol import errors
from iii_cluster.telemetry.records import Kind
from iii_cluster.telemetry.tracing import NO_TRACE, Trace

from .failure import Failure, bad_request, too_many
from .rates import Rate
from .reach import Reach
from .routes import Request, Route

PER_SECOND = 10.0  # of one coordinator
AT_ONCE = 30
INVOKE_TIMEOUT = 30.0  # s
MOST_DISCARDED = 1000  # dead letters, by one request
CRON = "cron"
MAX_LOGGED = 200  # characters of a name
FUNCTION = "action=console_%s function=%s address=%s outcome=%s"
TARGET = "action=console_%s target=%s address=%s outcome=%s"

logger = logging.getLogger(__name__)

encode = msgspec.json.encode


def _null() -> Raw:
    return Raw(b"null")


class Invocation(Struct):
    function_id: str
    namespace: str = "default"
    data: Raw = msgspec.field(default_factory=_null)


class Message(Struct):
    data: Raw


class Value(Struct):
    value: Raw


class _Target(Struct):
    function_id: str
    trigger_type: str
    function: dict[str, Any] | None = None


class _Letter(Struct):
    id: str


class _Discarded(Struct):
    redriven: int  # as its function calls it


B = TypeVar("B", bound=Struct)


class Called(Struct):
    """How a call ended well."""

    result: Raw
    duration_ms: float
    trace_id: str | None


class Writing:
    """Each handler answers JSON; raises Failure."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._rate = Rate(PER_SECOND, AT_ONCE)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/api/invoke", self.invoke, True),
            Route("POST", "/api/queues/{name}/publish", self.publish, True),
            Route("POST", "/api/queues/{name}/redrive", self.redrive, True),
            Route("POST", "/api/queues/{name}/discard", self.discard, True),
            Route("POST", "/api/queues/{name}/messages/{id}/redrive", self.redrive_message, True),
            Route("POST", "/api/queues/{name}/messages/{id}/discard", self.discard_message, True),
            Route("POST", "/api/cron/{id}/trigger", self.trigger_cron, True),
            Route("PUT", "/api/states/{scope}/{key}", self.set_state, True),
            Route("DELETE", "/api/states/{scope}/{key}", self.delete_state, True),
            Route("POST", "/api/logs/clear", self.clear_logs, True),
            Route("POST", "/api/traces/clear", self.clear_traces, True),
        ]

    async def invoke(self, request: Request) -> bytes:
        asked = body_of(request, Invocation)
        return encode(await self.call(request, asked.function_id, asked.namespace, asked.data))

    async def publish(self, request: Request) -> bytes:
        topic = request.place["name"]
        said = encode({"topic": topic, "data": body_of(request, Message).data})
        await self.do(request, "publish", topic, "iii::durable::publish", said)
        return b"{}"

    async def redrive(self, request: Request) -> bytes:
        queue = request.place["name"]
        return await self.do(request, "redrive", queue, "iii::queue::redrive", encode({"queue": queue}))

    async def discard(self, request: Request) -> bytes:
        """The dead letters of now; those that come meanwhile stay."""
        queue = request.place["name"]
        page = encode({"topic": queue, "limit": MOST_DISCARDED})
        discarded = 0
        with self._told(request, "discard", TARGET, queue) as told:
            dead = await self._reach.call("engine::queue::dlq_messages", page)
            for letter in msgspec.json.decode(dead, type=list[_Letter]):
                said = encode({"queue": queue, "message_id": letter.id})
                gone = await self._reach.call("iii::queue::discard_message", said, counted=True)
                discarded += msgspec.json.decode(gone, type=_Discarded).redriven
            told()
        return encode({"queue": queue, "discarded": discarded})

    async def redrive_message(self, request: Request) -> bytes:
        return await self._message(request, "redrive_message")

    async def discard_message(self, request: Request) -> bytes:
        return await self._message(request, "discard_message")

    async def _message(self, request: Request, what: str) -> bytes:
        queue = request.place["name"]
        said = encode({"queue": queue, "message_id": request.place["id"]})
        return await self.do(request, what, queue, f"iii::queue::{what}", said)

    async def trigger_cron(self, request: Request) -> bytes:
        return encode(await self.fire_cron(request, request.place["id"]))

    async def fire_cron(self, request: Request, id: str) -> Called:
        """Call a cron trigger's function as if it were time."""
        found = await self._reach.call("engine::registered-triggers::info", encode({"id": id}))
        trigger = msgspec.json.decode(found, type=_Target)
        if trigger.trigger_type != CRON:
            raise bad_request(f"trigger {id} is no cron trigger")
        now = datetime.now(UTC).isoformat()
        event = {
            "trigger": CRON,
            "job_id": id,
            "scheduled_time": now,
            "actual_time": now,
            "manual": True,
            "source": "console",
        }
        namespace = (trigger.function or {}).get("namespace", "default")
        return await self.call(request, trigger.function_id, namespace, Raw(encode(event)))

    async def set_state(self, request: Request) -> bytes:
        said = {**request.place, "value": body_of(request, Value).value}
        return await self.do(request, "state_set", request.place["scope"], "state::set", encode(said))

    async def delete_state(self, request: Request) -> bytes:
        old = await self.do(request, "state_delete", request.place["scope"], "state::delete", encode(request.place))
        return encode({"old_value": Raw(old or b"null")})

    async def clear_logs(self, request: Request) -> bytes:
        return await self.do(request, "logs_clear", "", "engine::logs::clear", b"{}")

    async def clear_traces(self, request: Request) -> bytes:
        return await self.do(request, "traces_clear", "", "engine::traces::clear", b"{}")

    # -- how it is done

    async def call(self, request: Request, function: str, namespace: str, data: Raw) -> Called:
        """Any function, recorded in a trace of its own. A failure says how long it took, and which trace, too."""
        tracer = self._reach.node.telemetry.tracer
        recording = tracer.begin(f"console {function}", NO_TRACE, Kind.CLIENT, function=function)
        trace = NO_TRACE if recording is None else recording.trace
        trace_id = None if recording is None else recording.trace_id
        began = time.monotonic()

        def took() -> float:
            return round((time.monotonic() - began) * 1000, 3)

        error = b""
        try:
            with self._told(request, "invoke", FUNCTION, function, trace) as told:
                result = await self._reach.call(
                    function, bytes(data), namespace=namespace, trace=trace, counted=True, timeout=INVOKE_TIMEOUT
                )
                told()
            return Called(Raw(result or b"null"), took(), trace_id)
        except Failure as failure:
            error = errors.error_body(failure.code, failure.message)
            more = {"duration_ms": took(), "trace_id": trace_id}
            raise Failure(failure.status, failure.code, failure.message, more) from None
        finally:
            if recording is not None:
                recording.end(error)

    async def do(self, request: Request, what: str, target: str, function: str, data: bytes) -> bytes:
        """`target` is what the log names."""
        with self._told(request, what, TARGET, target) as told:
            result = await self._reach.call(function, data, counted=True)
            told()
        return result

    @contextmanager
    def _told(
        self, request: Request, what: str, line: str, target: str, trace: Trace = NO_TRACE
    ) -> Iterator[Callable[[], None]]:
        """One line of the log, without what was sent or answered. Calls what it gives when all went well."""
        outcome = "cancelled"

        def well() -> None:
            nonlocal outcome
            outcome = "ok"

        try:
            if not self._rate.take(asyncio.get_running_loop().time()):
                raise too_many("too many changes; try again in a second")
            yield well
        except Failure as failure:
            outcome = failure.code
            raise
        finally:
            logger.info(line, what, _word(target), _word(request.address), _word(outcome), extra={"trace": trace})


def body_of(request: Request, kind: type[B]) -> B:
    """Raises Failure."""
    try:
        return msgspec.json.decode(request.body or b"{}", type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise bad_request(f"the body cannot be read: {error}") from None


def _word(text: str) -> str:
    """As one word of a log line."""
    return "".join(c if c.isprintable() and c != " " else "_" for c in text[:MAX_LOGGED]) or "-"
