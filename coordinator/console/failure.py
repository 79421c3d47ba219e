"""Why the console does not answer what it was asked."""

from collections.abc import Mapping
from typing import Any


class Failure(Exception):
    """An HTTP status, and `{"error": {"code", "message"}}` for the page; `more` stands beside `error`."""

    def __init__(self, status: int, code: str, message: str, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.more = more or {}

    def error(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}

    def body(self) -> dict[str, Any]:
        return {"error": self.error(), **self.more}


def bad_request(message: str) -> Failure:
    return Failure(400, "bad_request", message)


def unavailable(message: str) -> Failure:
    return Failure(503, "unavailable", message)


def too_many(message: str) -> Failure:
    return Failure(429, "too_many", message)
