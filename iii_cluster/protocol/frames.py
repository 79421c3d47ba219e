"""Frames the engine sends to workers, as JSON bytes built around untouched payloads."""

import msgspec

from iii_cluster.bus.envelopes import Trigger

PONG = b'{"type":"pong"}'

text = msgspec.json.encode


def worker_registered(worker_id: str, reattach_token: str) -> bytes:
    """The first frame of every connection."""
    return text({"type": "workerregistered", "worker_id": worker_id, "reattach_token": reattach_token})


def trace_tail(traceparent: bytes, baggage: bytes) -> bytes:
    """Trace members as `,"traceparent":"..."` with what is set; empty and null count as absent."""
    tail = b""
    if len(traceparent) > 2 and traceparent[0] == 0x22:  # a non-empty JSON string
        tail = b',"traceparent":' + traceparent
    if len(baggage) > 2 and baggage[0] == 0x22:
        tail += b',"baggage":' + baggage
    return tail


def invoke_function(invocation_id: str, function: bytes, data: bytes, trace: bytes, metadata: bytes) -> bytes:
    """`function` is the id as a JSON string; `trace` comes from `trace_tail`."""
    tail = trace + b',"metadata":' + metadata + b"}" if metadata and metadata != b"null" else trace + b"}"
    return b'{"type":"invokefunction","invocation_id":"%b","function_id":%b,"data":%b%b' % (
        invocation_id.encode(),
        function,
        data or b"null",
        tail,
    )


def invocation_result(invocation_id: bytes, function: bytes, result: bytes, error: bytes, trace: bytes) -> bytes:
    """`invocation_id` is the caller's own, as it wrote it; an empty `result` is none, `null` is a value."""
    if error:
        outcome = b',"error":' + error
    elif result:
        outcome = b',"result":' + result
    else:
        outcome = b""
    return b'{"type":"invocationresult","invocation_id":%b,"function_id":%b%b%b}' % (
        invocation_id,
        function,
        outcome,
        trace,
    )


def register_trigger(trigger: Trigger, provider_namespace: str) -> bytes:
    """To the provider of the type."""
    frame = b'{"type":"registertrigger","id":%b,"trigger_type":%b,"function_id":%b,"config":%b' % (
        text(trigger.id),
        text(trigger.type),
        text(trigger.function),
        trigger.config or b"null",
    )
    if trigger.metadata and trigger.metadata != b"null":
        frame += b',"metadata":' + trigger.metadata
    if trigger.namespace != "default":
        frame += b',"namespace":' + text(trigger.namespace)
    if provider_namespace != "default":
        frame += b',"trigger_namespace":' + text(provider_namespace)
    return frame + b"}"


def unregister_trigger(trigger_id: str, trigger_type: str) -> bytes:
    return text({"type": "unregistertrigger", "id": trigger_id, "trigger_type": trigger_type})


def trigger_failed(trigger_id: str, trigger_type: str, function: str, error: bytes) -> bytes:
    return text(
        {
            "type": "triggerregistrationresult",
            "id": trigger_id,
            "trigger_type": trigger_type,
            "function_id": function,
            "error": msgspec.Raw(error),
        }
    )


def refused(code: str, message: str) -> bytes:
    """Instead of the first frame: the connection is not let in, and closed."""
    return text({"type": "error", "error": {"code": code, "message": message}})


def function_rejected(code: str, namespace: str, function: str, owner_worker: str) -> bytes:
    return text(
        {
            "type": "registrationrejected",
            "code": code,
            "namespace": namespace,
            "function_id": function,
            "owner_worker_id": owner_worker,
        }
    )
