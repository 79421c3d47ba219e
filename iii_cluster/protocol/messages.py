"""What a worker may send, as typed structs.

Decoding is lenient where published clients are sloppy (missing `data` or `config` reads as null, unknown
fields are ignored) and never touches user payloads: `Raw` fields keep the bytes of the frame.
An absent `Raw` is empty; `is_null` treats it like a JSON null.
"""

from typing import Union

import msgspec
from msgspec import Raw, Struct

ABSENT = Raw(b"")


def is_null(raw: Raw | bytes) -> bool:
    """True for an absent field and for a JSON null."""
    return bytes(raw) in (b"", b"null")


class Message(Struct, tag_field="type", gc=False):
    """Base of every frame a worker sends; `type` is the lower-case class name."""


class RegisterFunction(Message, tag="registerfunction"):
    id: str
    description: str | None = None
    request_format: Raw = ABSENT
    response_format: Raw = ABSENT
    metadata: Raw = ABSENT
    invocation: Raw = ABSENT


class UnregisterFunction(Message, tag="unregisterfunction"):
    id: str


class RegisterTriggerType(Message, tag="registertriggertype"):
    id: str
    description: str = ""
    trigger_request_format: Raw = ABSENT
    call_request_format: Raw = ABSENT
    namespace: str | None = None


class UnregisterTriggerType(Message, tag="unregistertriggertype"):
    id: str
    namespace: str | None = None


class RegisterTrigger(Message, tag="registertrigger"):
    id: str
    trigger_type: str
    function_id: str
    config: Raw = ABSENT
    metadata: Raw = ABSENT
    namespace: str | None = None
    trigger_namespace: str | None = None


class UnregisterTrigger(Message, tag="unregistertrigger"):
    id: str
    trigger_type: str | None = None


class TriggerRegistrationResult(Message, tag="triggerregistrationresult"):
    id: str
    trigger_type: str
    function_id: str
    error: Raw = ABSENT


class RegisterService(Message, tag="registerservice"):
    id: str
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
