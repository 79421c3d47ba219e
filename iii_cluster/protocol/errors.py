"""Error bodies as they travel: `{"code", "message", "stacktrace"?}` as JSON bytes."""

import msgspec

FUNCTION_NOT_FOUND = "function_not_found"
INVOCATION_STOPPED = "invocation_stopped"
INVOCATION_ERROR = "invocation_error"
DESERIALIZATION_ERROR = "deserialization_error"
INVALID_NAMESPACE = "INVALID_NAMESPACE"
INVALID_ARGUMENTS = "INVALID_ARGUMENTS"
NOT_FOUND = "NOT_FOUND"
ENQUEUE_ERROR = "enqueue_error"
TRIGGER_REGISTRATION_FAILED = "trigger_registration_failed"
PAYLOAD_TOO_LARGE = "payload_too_large"
TIMEOUT = "TIMEOUT"
INTERNAL_ERROR = "internal_error"

# `registrationrejected` codes.
FUNCTION_NAMESPACE_CONFLICT = "FUNCTION_NAMESPACE_CONFLICT"


class ErrorBody(msgspec.Struct, omit_defaults=True, frozen=True):
    """A wire error; both text fields may be missing in what careless clients send."""

    code: str = "UNKNOWN"
    message: str = ""
    stacktrace: str | None = None


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
