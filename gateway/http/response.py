"""What is sent back for a request, as a whole."""

from typing import NamedTuple

Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Response(NamedTuple):
    """Header names are in lower case; content-length is not among them, the body tells."""

    status: int
    headers: tuple[Header, ...] | list[Header]
    body: bytes
