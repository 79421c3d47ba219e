"""Small files that say who may connect and what proves who we are: certificates, tokens.

Ports are started with them, and they are replaced while the ports live.
"""

import hashlib
from collections.abc import Sequence

MAX_FILE = 2**20  # bytes
_LOOK = 2.0  # s between looks


class Unreadable(OSError):
    """A file cannot be read; the text says which and why, in one line."""

    def __str__(self) -> str:
        return str(self.args[0])


def unreadable(error: OSError) -> Unreadable:
    return Unreadable(f"cannot read {error.filename}: {error.strerror}")


def content_of(path: str) -> bytes:
    """Raises Unreadable."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise unreadable(error) from None
    if len(content) > MAX_FILE:
        raise Unreadable(f"{path} has more than {MAX_FILE} bytes")
    return content


class WatchedFiles:
    """A few small files. Their contents are compared: times and inodes do not tell when links on the way change."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Raises Unreadable."""
        self._paths = [path for path in paths if path]
        self._look_at = 0.0
        self.first = self._read()
        """Their contents at the start."""
        self._seen: list[bytes] | str = _digests(self.first)  # or why they could not be read

    def changed(self, now: float) -> list[bytes] | None:
        """Their contents, once, after they have changed. Raises Unreadable once each time they become so."""
        if now < self._look_at:
            return None
        self._look_at = now + _LOOK
        try:
            contents = self._read()
        except Unreadable as error:
            if self._seen == str(error):
                return None
            self._seen = str(error)
            raise
        seen, self._seen = self._seen, _digests(contents)
        return None if seen == self._seen else contents

    def _read(self) -> list[bytes]:
        return [content_of(path) for path in self._paths]


def _digests(contents: Sequence[bytes]) -> list[bytes]:
    return [hashlib.sha256(content).digest() for content in contents]
