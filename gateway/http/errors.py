"""Answers of the gateway itself: `{"error":{"code","message","error_id"}}`."""

import logging
import os
import time
from typing import Any

import msgspec

from iii_cluster.node.logs import OWN_QUOTA
from iii_cluster.protocol import errors
from iii_cluster.telemetry.tracing import NO_TRACE, Trace

from .quota import Quota
from .response import JSON, TEXT, Header, Response

log = logging.getLogger(__name__)

NOT_FOUND = "NOT_FOUND"
PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
CONDITION_NOT_MET = "CONDITION_NOT_MET"
INTERNAL_ERROR = "INTERNAL_ERROR"
SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
MIDDLEWARE_TIMEOUT = "MIDDLEWARE_TIMEOUT"


LINES_PER_SECOND = 100  # of the log


class _Lines:
    """A function that fails all the time does not fill the disk."""

    def __init__(self) -> None:
        self._quota = Quota(LINES_PER_SECOND)
        self._second = 0

    def write(self, line: str, *values: object, trace: Trace = NO_TRACE) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            if kept_back := self._quota.renew():
                log.error("action=http_errors_not_logged count=%d", kept_back)
        if self._quota.take():
            log.error(line, *values, extra={**OWN_QUOTA, "trace": trace})


_lines = _Lines()


def error_id() -> str:
    """12 hexadecimal digits, for people to find the log line by."""
    return os.urandom(6).hex()


def error_response(status: int, code: str, message: str, *headers: Header, **members: Any) -> Response:
    """`members` stand beside `error`. From 500 on the body has an `error_id`, and there is one log line with it."""
    error: dict[str, Any] = {"code": code, "message": message}
    if status >= 500:
        error["error_id"] = error_id()
        _lines.write("action=http_error status=%d code=%s error_id=%s", status, code, error["error_id"])
    return Response(status, (JSON, *headers), msgspec.json.encode({"error": error, **members}))


def call_failed(raw: bytes, trigger: str, function: str, trace: Trace = NO_TRACE) -> Response:
    """500 for the error body a function ended with. Its message is the client's to read, not the log's."""
    body = errors.read(raw)
    number = error_id()
    _lines.write(
        "action=http_call_failed status=500 code=%s error_id=%s trigger=%s function=%s",
        body.code[:128],
        number,
        trigger,
        function,
        trace=trace,
    )
    error = {"code": body.code, "message": body.message, "error_id": number}
    return Response(500, (JSON,), msgspec.json.encode({"error": error}))


def stream_failed(raw: bytes, function: str, *, complete: bool) -> None:
    """A function failed after its response had begun."""
    code, response = errors.read(raw).code[:128], "complete" if complete else "cut"
    _lines.write("action=http_stream_failed code=%s function=%r response=%s", code, function, response)


def stream_cut(code: int, reason: str, function: str) -> None:
    """A response ended before its end: its channel did, with this close code."""
    _lines.write("action=http_stream_cut code=%d reason=%r function=%r", code, reason, function)


def text_response(status: int, text: str, *headers: Header) -> Response:
    return Response(status, (TEXT, *headers), text.encode())
