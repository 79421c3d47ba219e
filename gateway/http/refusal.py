"""Answers to what is not served: it cannot be read, there is too much of it, or the gateway fails."""

import logging
from collections.abc import Iterable

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from iii_cluster.protocol.errors import EngineError

from .errors import INTERNAL_ERROR, PAYLOAD_TOO_LARGE, SERVICE_UNAVAILABLE, error_id, error_response
from .response import JSON, Header, Response

log = logging.getLogger(__name__)

_CODES = {
    400: "BAD_REQUEST",
    408: "REQUEST_TIMEOUT",
    431: "REQUEST_HEADER_FIELDS_TOO_LARGE",
    501: "NOT_IMPLEMENTED",
    503: SERVICE_UNAVAILABLE,
    505: "HTTP_VERSION_NOT_SUPPORTED",
}


_RETRY_AFTER: Header = (b"retry-after", b"1")  # s


def bad_request(status: int, message: str, cors: Iterable[Header]) -> Response:
    body = {"error": {"code": _CODES[status], "message": message} | _number(status)}
    return Response(status, (JSON, *cors), msgspec.json.encode(body))


def busy(most: int, cors: Iterable[Header]) -> Response:
    """`most` requests are in progress."""
    error = {"code": SERVICE_UNAVAILABLE, "message": f"This gateway has {most} requests in progress"} | _number(503)
    return Response(503, (JSON, _RETRY_AFTER, *cors), msgspec.json.encode({"error": error}))


def body_too_late() -> Response:
    """It has to be whole before the function is called; what comes of it now is not read."""
    return error_response(408, _CODES[408], "The body did not arrive in time", (b"connection", b"close"))


def too_large(limit: int) -> Response:
    """The body is."""
    return error_response(413, PAYLOAD_TOO_LARGE, f"the body may have {limit} bytes")


def failure(error: Exception) -> Response:
    """For what stopped the gateway itself: it has no room for more channels, or makes a mistake."""
    if isinstance(error, EngineError):
        return error_response(503, error.code, error.message)
    log.error("action=http_failed", exc_info=error)
    return error_response(500, INTERNAL_ERROR, "internal server error")


def _number(status: int) -> dict[str, str]:
    """As all errors from 500 on have it; these are logged without, and only now and then."""
    return {"error_id": error_id()} if status >= 500 else {}


def rendered(response: Response, date_line: bytes) -> bytes:
    """The response as bytes; the connection ends with it."""
    lines = [STATUS_LINE[response.status], date_line]
    lines += [b"%b: %b\r\n" % header for header in response.headers]
    lines.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(response.body))
    return b"".join((*lines, response.body))
