"""Answers of the gateway itself: `{"error":{"code","message","error_id"}}`."""

import logging
import os
from typing import Any

import msgspec

from iii_cluster.protocol import errors

from .response import JSON, TEXT, Header, Response

log = logging.getLogger(__name__)

NOT_FOUND = "NOT_FOUND"
METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
CONDITION_NOT_MET = "CONDITION_NOT_MET"
INTERNAL_ERROR = "INTERNAL_ERROR"
SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
GATEWAY_TIMEOUT = "GATEWAY_TIMEOUT"
MIDDLEWARE_TIMEOUT = "MIDDLEWARE_TIMEOUT"


def error_id() -> str:
    """12 hexadecimal digits, for people to find the log line by."""
    return os.urandom(6).hex()


def error_response(status: int, code: str, message: str, *headers: Header, **members: Any) -> Response:
    """`members` stand beside `error`. From 500 on the body has an `error_id`, and there is one log line with it."""
    error: dict[str, Any] = {"code": code, "message": message}
    if status >= 500:
        error["error_id"] = error_id()
        log.error("action=http_error status=%d code=%s error_id=%s", status, code, error["error_id"])
    return Response(status, (JSON, *headers), msgspec.json.encode({"error": error, **members}))


def call_failed(raw: bytes, trigger: str, function: str) -> Response:
    """500 for the error body a function ended with. Its message is the client's to read, not the log's."""
    body = errors.read(raw)
    number = error_id()
    log.error(
        "action=http_call_failed status=500 code=%s error_id=%s trigger=%s function=%s",
        body.code[:128],
        number,
        trigger,
        function,
    )
    error = {"code": body.code, "message": body.message, "error_id": number}
    return Response(500, (JSON,), msgspec.json.encode({"error": error}))


def text_response(status: int, text: str, *headers: Header) -> Response:
    return Response(status, (TEXT, *headers), text.encode())
