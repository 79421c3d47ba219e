"""Error bodies as they travel: `{"code", "message", "stacktrace"?}` as JSON bytes."""

import msgspec

FUNCTION_NOT_FOUND = "function_not_found"
INVOCATION_STOPPED = "invocation_stopped"
INVOCATION_ERROR = "invocation_error"
DESERIALIZATION_ERROR = "deserialization_error"
SERIALIZATION_ERROR = "serialization_error"
INVALID_NAMESPACE = "INVALID_NAMESPACE"
INVALID_ARGUMENTS = "INVALID_ARGUMENTS"
NOT_FOUND = "NOT_FOUND"
ENQUEUE_ERROR = "enqueue_error"
TRIGGER_REGISTRATION_FAILED = "trigger_registration_failed"
PAYLOAD_TOO_LARGE = "payload_too_large"
TIMEOUT = "TIMEOUT"
INTERNAL_ERROR = "internal_error"
FORBIDDEN = "FORBIDDEN"
AUTH_ERROR = "AUTH_ERROR"
LIMIT_EXCEEDED = "LIMIT_EXCEEDED"

MAX_LABEL = 128  # characters of a code in a log line

BLANK_NAMESPACE = "the namespace is blank"  # message of INVALID_NAMESPACE

# `registrationrejected` codes.
FUNCTION_NAMESPACE_CONFLICT = "FUNCTION_NAMESPACE_CONFLICT"


class ErrorBody(msgspec.Struct, omit_defaults=True, frozen=True):
    """A wire error; both text fields may be missing in what careless clients send."""

    code: str = "UNKNOWN"
    message: str = ""
    stacktrace: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class _Complete(msgspec.Struct):
    code: str
    message: str


_decode_complete = msgspec.json.Decoder(_Complete).decode
_decode_body = msgspec.json.Decoder(ErrorBody).decode


def regular(raw: bytes) -> bytes:
    """An error as a worker sent it, or b"" for none (null). What clients could not read is put into a body."""
    if raw in (b"", b"null"):
        return b""
    try:
        _decode_complete(raw)
    except msgspec.MsgspecError:
        return _completed(raw)
    return raw


def read(raw: bytes) -> ErrorBody:
    """A regular error."""
    return _decode_body(raw)


def code(raw: bytes) -> str:
    """Of any error, as it may be logged: unlike its message, it holds nothing that callers sent."""
    return read(regular(raw) or error_body("UNKNOWN", "")).code[:MAX_LABEL]


def _completed(raw: bytes) -> bytes:
    try:
        body = _decode_body(raw)
    except msgspec.MsgspecError:
        return error_body("UNKNOWN", raw.decode(errors="replace"))
    return error_body(body.code, body.message)


class EngineError(Exception):
    """Raised inside the engine; becomes the error body of the call that caused it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def body(self) -> bytes:
        return error_body(self.code, self.message)


def error_body(code: str, message: str) -> bytes:
    """The JSON bytes of an error."""
    return msgspec.json.encode({"code": code, "message": message})
