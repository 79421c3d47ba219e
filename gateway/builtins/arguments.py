"""Inputs of the engine's functions. Unknown members are ignored; a wrong one fails the call before anything is done."""

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError
from iii_cluster.protocol.messages import ABSENT


class Announce(Struct):
    runtime: str | None = None
    version: str | None = None
    name: str | None = None
    os: str | None = None
    pid: int | None = None
    description: str | None = None
    isolation: str | None = None
    namespace: str | None = None
    telemetry: dict[str, Any] | None = None
    features: list[str] | None = None


class ListFunctions(Struct):
    search: str | None = None
    prefix: str | None = None
    worker: str | None = None
    workers: list[str] | None = None
    include_internal: bool = False


class FunctionInfo(Struct):
    function_id: str | None = None
    function_ids: list[str] | None = None
    namespace: str | None = None


class ListWorkers(Struct):
    worker_id: str | None = None
    search: str | None = None
    runtime: str | None = None
    status: str | None = None


class WorkerInfo(Struct):
    name: str
    namespace: str | None = None


class ListTypes(Struct):
    search: str | None = None
    prefix: str | None = None
    worker: str | None = None
    include_internal: bool = False


class TypeInfo(Struct):
    id: str
    namespace: str | None = None


class ListTriggers(Struct):
    search: str | None = None
    trigger_type: str | None = None
    function_id: str | None = None
    worker: str | None = None
    include_internal: bool = False


class TriggerInfo(Struct):
    id: str


class RegisterTriggerInput(Struct):
    trigger_type: str
    function_id: str
    config: Raw = ABSENT
    metadata: Raw = ABSENT
    trigger_namespace: str | None = None


class UnregisterTriggerInput(Struct):
    id: str
    trigger_type: str | None = None


T = TypeVar("T")


def parse(function: str, data: bytes, kind: type[T]) -> T:
    """The input as `kind`; raises EngineError(deserialization_error) naming the function and the field."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise EngineError(errors.DESERIALIZATION_ERROR, f"{function}: {error}") from None
