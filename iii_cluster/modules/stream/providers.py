"""Streams whose data a worker keeps: it serves functions named after the operation and the stream."""

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from iii_cluster.modules.calling import HandlerError, call
from iii_cluster.modules.engine import Engine
from iii_cluster.protocol.errors import EngineError
from iii_cluster.telemetry.tracing import Trace

JSON_ERROR = "JSON_ERROR"

T = TypeVar("T")


class Written(Struct):
    """What a provider's `set` answers."""

    new_value: Raw
    old_value: Raw = Raw(b"null")


class Updated(Struct):
    """What a provider's `update` answers."""

    new_value: Raw = Raw(b"null")
    old_value: Raw = Raw(b"null")
    errors: Raw = Raw(b"")


class Deleted(Struct):
    """What a provider's `delete` answers."""

    old_value: Raw = Raw(b"null")


class Providers:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def of(self, operation: str, stream: str) -> str:
        """The function that does an operation on a stream, "" if no worker provides it."""
        for name in (f"stream::{operation}({stream})", f"{stream}.{operation}"):  # the second one of old clients
            if await self._engine.serves(name):
                return name
        return ""

    async def read(self, function: str, data: bytes, trace: Trace) -> bytes:
        """A provider's answer as it is, b"" for none. Raises its error as it is."""
        traceparent, baggage = trace
        answer = await call(self._engine, function, data, traceparent=traceparent, baggage=baggage)
        return b"" if answer == b"null" else answer

    async def write(self, function: str, data: bytes, type: type[T], code: str, trace: Trace) -> T:
        """Its answer; an error, or no answer, is raised with the operation's own code."""
        try:
            answer = await self.read(function, data, trace)
        except HandlerError as error:
            raise EngineError(code, f"{function} failed: {error}") from error
        except EngineError as error:
            raise EngineError(code, error.message) from error
        if not answer:
            raise EngineError(code, f"{function} answered nothing")
        return shaped(function, answer, type)


def shaped(function: str, answer: bytes, type: type[T]) -> T:
    """Raises EngineError(JSON_ERROR) for an answer of another shape."""
    try:
        return msgspec.json.decode(answer, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineError(JSON_ERROR, f"{function} answered something else: {error}") from None
