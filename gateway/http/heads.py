"""Heads of requests, as the parser left them. Pure."""

from collections.abc import Iterable

import httptools

Headers = Iterable[tuple[bytes, bytes]]  # names in lower case

_UPGRADE = (b"upgrade", b"http2-settings")


def size(url: bytes, headers: Headers) -> int:
    """Bytes of a head, all but exactly."""
    return len(url) + 16 + sum(len(name) + len(value) + 4 for name, value in headers)


def target(url: bytes) -> tuple[bytes, bytes]:
    """Path and query. Raises httptools' errors for what is neither a path nor a URL."""
    if url[:1] == b"/":
        path, _, query = url.partition(b"#")[0].partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""


def without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The head of the same request without the wish for another protocol."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, url, version.encode("ascii"))]
    for name, value in headers:
        if name == b"connection":
            tokens = [token for token in value.split(b",") if token.strip().lower() not in _UPGRADE]
            value = b",".join(tokens)
        if name not in _UPGRADE and value:
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join((*lines, b"\r\n"))
