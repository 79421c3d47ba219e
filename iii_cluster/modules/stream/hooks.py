"""What workers may say about clients: who they are, whether they may join, and that they have left."""

import asyncio
import logging
from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from iii_cluster.bus.envelopes import Trigger
from iii_cluster.modules.calling import call
from iii_cluster.modules.conditions import Conditions
from iii_cluster.modules.engine import Engine, Watched
from iii_cluster.modules.spans import deliver
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.tracing import NO_TRACE, Trace

from .triggers import JOIN, LEAVE, hooked_stream

MAX_REMEMBERED = 1000  # hooks and auth functions whose last call failed

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class Membership(Struct, frozen=True):
    """What hooks get. `context` is what the auth function said of the client."""

    subscription_id: str
    stream_name: str
    group_id: str
    id: str | None
    context: Raw


class _Authorized(Struct):
    context: Raw = Raw(b"null")
    authorized: object = None


class _Verdict(Struct):
    unauthorized: object = None


_decode_authorized = msgspec.json.Decoder(_Authorized).decode
_decode_verdict = msgspec.json.Decoder(_Verdict).decode


class Unauthorized(Exception):
    """The client must not connect."""


class HooksUnknown(Exception):
    """No shard has said yet which hooks there are."""


class Hooks:
    def __init__(self, engine: Engine, auth_function: str, refuse_on_error: bool) -> None:
        self._engine = engine
        self._auth_function = auth_function
        self._refuse_on_error = refuse_on_error
        self._conditions = Conditions(engine)
        self._join = engine.watch(JOIN)
        self._leave = engine.watch(LEAVE)
        self._failing: dict[str, None] = {}

    @property
    def authenticates(self) -> bool:
        return bool(self._auth_function)

    async def authenticate(self, request: bytes, limit: float, trace: Trace = NO_TRACE) -> bytes:
        """The context of a client, JSON. `request`: its handshake. Raises Unauthorized."""
        function = self._auth_function
        try:
            traceparent, baggage = trace
            answer = await call(
                self._engine, function, request, traceparent=traceparent, baggage=baggage, timeout=limit
            )
        except EngineError as error:
            self._failed(function, error)
            if self._refuse_on_error:
                raise Unauthorized from error
            return b"null"
        self._failing.pop(function, None)
        try:
            verdict = _decode_authorized(answer)
        except msgspec.MsgspecError:  # no object, or no answer
            if self._refuse_on_error:
                raise Unauthorized from None
            return b"null"
        if verdict.authorized is False or (self._refuse_on_error and verdict.authorized not in (None, True)):
            raise Unauthorized
        return bytes(verdict.context)

    def idle(self) -> bool:
        """Whether joining and leaving needs no hook to be asked."""
        return self._join.known and self._leave.known and not self._join.all() and not self._leave.all()

    async def may_join(self, membership: Membership, limit: float, trace: Trace = NO_TRACE) -> bool:
        """Raises HooksUnknown after `limit` seconds."""
        if not self._join.known:
            try:
                async with asyncio.timeout(limit):
                    await self._join.until_known()
            except TimeoutError:
                raise HooksUnknown from None
        data = _encode(membership)
        for trigger in _of(self._join, membership):
            if _refuses(await self._ask(trigger, data, trace)):
                return False
        return True

    @property
    def knows_leaving(self) -> bool:
        """Whether it is known which hooks want to know who leaves."""
        return self._leave.known

    def told_of_leaving(self, membership: Membership) -> bool:
        """Whether some hook wants to know when this one leaves."""
        return any(True for _ in _of(self._leave, membership))

    async def left(self, membership: Membership, departure: str = "", trace: Trace = NO_TRACE) -> None:
        """`departure` names what another process may tell of, too: a hook hears of it once."""
        data = _encode(membership)
        for trigger in _of(self._leave, membership):
            await self._ask(trigger, data, trace, f"{departure}:{trigger.id}" if departure else "")

    async def _ask(self, trigger: Trigger, data: bytes, trace: Trace, once: str = "") -> bytes:
        """What a hook says, b"" if it fails: that refuses nothing."""
        try:
            with deliver(self._engine, f"trigger {trigger.function}", trace, function=trigger.function) as span:
                if not await self._conditions.allow(trigger, data, span.trace):
                    span.refused()
                    return b""
                traceparent, baggage = span.trace
                answer = await call(
                    self._engine,
                    trigger.function,
                    data,
                    namespace=trigger.namespace,
                    metadata=trigger.metadata,
                    traceparent=traceparent,
                    baggage=baggage,
                    once=once,
                    sent=span.sent,
                )
        except EngineError as error:
            self._failed(trigger.id, error)
            return b""
        self._failing.pop(trigger.id, None)
        return answer

    def _failed(self, what: str, error: EngineError) -> None:
        """One log line when it starts to fail, instead of one per client."""
        if what not in self._failing:
            self._failing[what] = None
            log.warning("action=stream_hook_failed hook=%s error=%s", what, error)
        if len(self._failing) > MAX_REMEMBERED:
            del self._failing[next(iter(self._failing))]


def _of(watched: Watched, membership: Membership) -> Iterable[Trigger]:
    """The hooks for a stream; one after the other, in the same order everywhere."""
    wanted = ("", membership.stream_name)
    return sorted((t for t in watched.all() if hooked_stream(t) in wanted), key=lambda trigger: trigger.id)


def _refuses(answer: bytes) -> bool:
    try:
        return _decode_verdict(answer).unauthorized is True
    except msgspec.MsgspecError:
        return False
