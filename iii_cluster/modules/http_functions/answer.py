"""What an HTTP answer means to the caller."""

import zlib
from http import HTTPStatus

import msgspec
from msgspec import Raw, Struct

from iii_cluster.outgoing.answer import Answer
from iii_cluster.protocol.errors import EngineError
from iii_cluster.protocol.payload import BadPayload, check_text

from .failures import HTTP_ERROR, INVALID_RESPONSE, RESPONSE_FAILED

NULL = b"null"

_decode_any = msgspec.json.Decoder(Raw).decode
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # what zlib calls these


class _Told(Struct):
    code: object = None
    message: object = None


class _ErrorBody(Struct):
    error: _Told


_decode_error = msgspec.json.Decoder(_ErrorBody).decode


def result_of(answer: Answer, limit: int) -> bytes:
    """The result as JSON. Raises EngineError. `limit` is for the body, unpacked."""
    body = _unpacked(answer, limit)
    if answer.status >= 400:
        raise _error(answer.status, body)
    if body is None:
        raise EngineError(RESPONSE_FAILED, f"the response has more than {limit} bytes")
    text = body.strip()
    if not text:
        return NULL
    if _is_json(text):
        return text
    if 200 <= answer.status < 300:
        raise EngineError(INVALID_RESPONSE, f"the response is not JSON ({_kind(answer)})")
    return NULL


def _kind(answer: Answer) -> str:
    named = answer.encoding if answer.encoding not in ("", *_WINDOW) else answer.content_type
    return "".join(char for char in named[:100] if char.isprintable()) or "no content type"


def _error(status: int, body: bytes | None) -> EngineError:
    if body is not None and _is_json(body):
        try:
            told = _decode_error(body).error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        else:
            code = told.code if isinstance(told.code, str) else HTTP_ERROR
            return EngineError(code, told.message if isinstance(told.message, str) else "HTTP request failed")
    return EngineError(HTTP_ERROR, f"HTTP {status} {_phrase(status)}".rstrip())


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _is_json(body: bytes) -> bool:
    """Fit to be passed on: as strict as with what workers send."""
    try:
        check_text(body)
        _decode_any(body)
    except (msgspec.MsgspecError, BadPayload, RecursionError):
        return False
    return True


def _unpacked(answer: Answer, limit: int) -> bytes | None:
    """Never more than `limit` bytes, whatever they unpack to. None: too large."""
    body, window = answer.body, _WINDOW.get(answer.encoding)
    if body is None or window is None or not body:
        return body
    unpacker = zlib.decompressobj(window)
    try:
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise EngineError(RESPONSE_FAILED, f"the response is not {answer.encoding}") from None
    return None if len(unpacked) > limit else unpacked
