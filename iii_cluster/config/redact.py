"""Redis URLs as they may be shown."""

from collections.abc import Iterable


def redact_url(url: str) -> str:
    """The URL without user, password and query. Also of a URL that is none: all up to the last @ is hidden."""
    scheme, _, rest = url.partition("://")
    credentials, _, address = rest.rpartition("@")
    address = address.partition("?")[0].partition("#")[0]
    return f"{scheme}://***@{address}" if credentials else f"{scheme}://{address}"


def redact_urls(urls: Iterable[str]) -> str:
    return ", ".join(redact_url(url) for url in urls)
