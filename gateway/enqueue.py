"""The `enqueue` action: the call is handed to the queue provider, its caller gets a receipt."""

from typing import Any

import msgspec

from iii_cluster.protocol import errors, messages

from .answering import OwnFunctions
from .call import Call, Done
from .call_telemetry import CallTelemetry

PROVIDER = "engine::queue::enqueue"


def enqueue(
    own: OwnFunctions,
    telemetry: CallTelemetry,
    call: Call,
    message: messages.InvokeFunction,
    receipt: str,
    reply: Done,
) -> None:
    """`call` goes to the queue that the message's action names; `reply` ends it."""
    assert isinstance(message.action, messages.Enqueue)
    telemetry.begin_enqueue(call, message.action.queue)
    job: dict[str, Any] = {
        "queue": message.action.queue,
        "function_id": call.function,
        "data": msgspec.Raw(bytes(message.data) or b"null"),
        "messageReceiptId": receipt,
        "traceparent": msgspec.Raw(call.trace[0] or b"null"),
        "baggage": msgspec.Raw(call.trace[1] or b"null"),
    }
    if call.namespace != "default":
        job["namespace"] = call.namespace

    def done(_result: bytes, error: bytes) -> None:
        if error:
            reply(b"", errors.error_body(errors.ENQUEUE_ERROR, _failure(error)))
        else:
            reply(msgspec.json.encode({"messageReceiptId": receipt}), b"")

    data = msgspec.json.encode(job)
    provider = Call(None, b"", "default", PROVIDER, data, call.trace, done=done, feeder=call.caller)
    telemetry.measure(provider)
    own.go_on(provider)


def _failure(error: bytes) -> str:
    body = errors.read(error)
    return "no queue provider installed" if body.code == errors.FUNCTION_NOT_FOUND else str(body)
