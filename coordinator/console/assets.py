"""The files of the page, read once. What is not among them does not exist, whatever a path says."""

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

INDEX = "index.html"
KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
}


class Asset(Struct, frozen=True):
    content: bytes
    kind: bytes  # content type
    tag: bytes  # entity tag, quotes included


def load() -> dict[str, Asset]:
    """By path, such as "/core/api.js"; "/" is the page itself."""
    found = {f"/{name}": _asset(name, content) for name, content in _walk(files(__package__) / "assets", "")}
    if f"/{INDEX}" in found:
        found["/"] = found[f"/{INDEX}"]
    return found


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in KINDS:
            yield prefix + entry.name, entry.read_bytes()


def _asset(name: str, content: bytes) -> Asset:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Asset(content, KINDS[name.rpartition(".")[2]].encode(), tag.encode())
