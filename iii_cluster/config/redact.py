"""Redis URLs as they may be shown."""

from collections.abc import Iterable
from urllib.parse import urlsplit


def redact_url(url: str) -> str:
    """The URL without user, password and query (both may hold a secret)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "<unreadable URL>"
    host = parts.netloc.rpartition("@")[2]
    hidden = "***@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{hidden}{host}{parts.path}"


def redact_urls(urls: Iterable[str]) -> str:
    return ", ".join(redact_url(url) for url in urls)
