"""What registration hooks and the middleware are asked, and what their answers change. Pure."""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from iii_cluster.access.rules import Access
from iii_cluster.protocol import messages
from iii_cluster.protocol.messages import ABSENT, MAX_ID, is_null

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]

T = TypeVar("T")


class Denied(Exception):
    """The hook said no, or nothing that can be understood."""


class FunctionAnswer(Struct):
    """Absent and null members change nothing; others than these count for nothing."""

    function_id: Id | None = None
    description: str | None = None
    metadata: Raw = ABSENT


class TriggerAnswer(Struct):
    trigger_id: Id | None = None
    trigger_type: Id | None = None
    function_id: Id | None = None
    config: Raw = ABSENT


class TypeAnswer(Struct):
    trigger_type_id: Id | None = None
    description: str | None = None


def _json(raw: Raw) -> Raw:
    return Raw(bytes(raw) or b"null")


def _read(answer: bytes, kind: type[T]) -> T:
    if not answer:
        raise Denied("it answered nothing")
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Denied(f"its answer is no permission: {error}") from None


def function_input(access: Access, message: messages.RegisterFunction, namespace: str) -> bytes:
    asked: dict[str, Any] = {
        "function_id": message.id,
        "description": message.description,
        "metadata": _json(message.metadata),
        "namespace": namespace,
        "context": access.context,
    }
    return msgspec.json.encode(asked)


def function_as_answered(message: messages.RegisterFunction, answer: bytes) -> messages.RegisterFunction:
    """Raises Denied."""
    said = _read(answer, FunctionAnswer)
    return replace(
        message,
        id=message.id if said.function_id is None else said.function_id,
        description=message.description if said.description is None else said.description,
        metadata=message.metadata if is_null(said.metadata) else said.metadata,
    )


def trigger_input(access: Access, message: messages.RegisterTrigger) -> bytes:
    asked: dict[str, Any] = {
        "trigger_id": message.id,
        "trigger_type": message.trigger_type,
        "function_id": message.function_id,
        "config": _json(message.config),
        "metadata": _json(message.metadata),
        "namespace": message.namespace or "default",
        "context": access.context,
    }
    return msgspec.json.encode(asked)


def trigger_as_answered(message: messages.RegisterTrigger, answer: bytes) -> messages.RegisterTrigger:
    """Raises Denied."""
    said = _read(answer, TriggerAnswer)
    return replace(
        message,
        id=message.id if said.trigger_id is None else said.trigger_id,
        trigger_type=message.trigger_type if said.trigger_type is None else said.trigger_type,
        function_id=message.function_id if said.function_id is None else said.function_id,
        config=message.config if is_null(said.config) else said.config,
    )


def type_input(access: Access, message: messages.RegisterTriggerType) -> bytes:
    asked: dict[str, Any] = {
        "trigger_type_id": message.id,
        "description": message.description,
        "context": access.context,
    }
    return msgspec.json.encode(asked)


def type_as_answered(message: messages.RegisterTriggerType, answer: bytes) -> messages.RegisterTriggerType:
    """Raises Denied."""
    said = _read(answer, TypeAnswer)
    return replace(
        message,
        id=message.id if said.trigger_type_id is None else said.trigger_type_id,
        description=message.description if said.description is None else said.description,
    )


def middleware_input(access: Access, message: messages.InvokeFunction, namespace: str) -> bytes:
    asked: dict[str, Any] = {
        "function_id": message.function_id,
        "payload": _json(message.data),
        "action": message.action,
        "context": access.context,
        "namespace": namespace,
    }
    return msgspec.json.encode(asked)
