"""What is sent along, and what comes back."""

from msgspec import Struct

Headers = list[tuple[str, str]]


class Answer(Struct, frozen=True):
    """The parts of a response that count. `body` is as it was sent, None if it is too large."""

    status: int
    body: bytes | None
    content_type: str = ""
    encoding: str = ""
    location: str = ""
    retry_after: str = ""
