"""What a worker may send, as typed structs.

Decoding is lenient where published clients are sloppy (missing `data` or `config` reads as null, unknown
fields are ignored) and never touches user payloads: `Raw` fields keep the bytes of the frame.
An absent `Raw` is empty; `is_null` treats it like a JSON null.
"""

from typing import Annotated, Union

import msgspec
from msgspec import Raw, Struct

ABSENT = Raw(b"")

UUID = 36  # characters of an invocation's id
# Longest id or namespace of what is registered, characters: they are kept, announced and logged.
MAX_ID = 1024
Id = Annotated[str, msgspec.Meta(max_length=MAX_ID)]


def is_null(raw: Raw | bytes) -> bool:
    """True for an absent field and for a JSON null."""
    return bytes(raw) in (b"", b"null")


def is_blank(namespace: str | None) -> bool:
    """True for a namespace that was given but names nothing."""
    return namespace is not None and not namespace.strip()


class Message(Struct, tag_field="type", gc=False):
    """Base of every frame a worker sends; `type` is the lower-case class name."""


class RegisterFunction(Message, tag="registerfunction"):
    id: Id
    description: str | None = None
    request_format: Raw = ABSENT
    response_format: Raw = ABSENT
    metadata: Raw = ABSENT
    invocation: Raw = ABSENT


class UnregisterFunction(Message, tag="unregisterfunction"):
    id: Id


class RegisterTriggerType(Message, tag="registertriggertype"):
    id: Id
    description: str = ""
    trigger_request_format: Raw = ABSENT
    call_request_format: Raw = ABSENT
    namespace: Id | None = None


class UnregisterTriggerType(Message, tag="unregistertriggertype"):
    id: Id
    namespace: Id | None = None


class RegisterTrigger(Message, tag="registertrigger"):
    id: Id
    trigger_type: Id
    function_id: Id
    config: Raw = ABSENT
    metadata: Raw = ABSENT
    namespace: Id | None = None
    trigger_namespace: Id | None = None


class UnregisterTrigger(Message, tag="unregistertrigger"):
    id: Id
    trigger_type: str | None = None


class TriggerRegistrationResult(Message, tag="triggerregistrationresult"):
    id: Id
    trigger_type: Id
    function_id: Id
    error: Raw = ABSENT


class RegisterService(Message, tag="registerservice"):
    id: Id
    name: str | None = None
    description: str | None = None
    parent_service_id: str | None = None


class Void(Struct, tag_field="type", tag="void"):
    """Fire and forget: no reply even when the frame carries an id."""


class Enqueue(Struct, tag_field="type", tag="enqueue", frozen=True):
    queue: str


class InvokeFunction(Message, tag="invokefunction"):
    function_id: str
    # Kept raw (quotes included): it is only ever echoed back to the same caller.
    invocation_id: Raw = ABSENT
    data: Raw = ABSENT
    traceparent: Raw = ABSENT
    baggage: Raw = ABSENT
    action: Void | Enqueue | None = None
    metadata: Raw = ABSENT
    namespace: str | None = None


class InvocationResult(Message, tag="invocationresult"):
    invocation_id: str
    function_id: str = ""
    result: Raw = ABSENT
    error: Raw = ABSENT


class Reattach(Message, tag="reattach"):
    previous_worker_id: str
    reattach_token: str | None = None


class Ping(Message, tag="ping"):
    pass


class Pong(Message, tag="pong"):
    pass


WorkerMessage = Union[  # noqa: UP007 - msgspec reads it at run time
    RegisterFunction,
    UnregisterFunction,
    RegisterTriggerType,
    UnregisterTriggerType,
    RegisterTrigger,
    UnregisterTrigger,
    TriggerRegistrationResult,
    RegisterService,
    InvokeFunction,
    InvocationResult,
    Reattach,
    Ping,
    Pong,
]

decode = msgspec.json.Decoder(WorkerMessage).decode
