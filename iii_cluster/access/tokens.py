"""Tokens: as they are written down, in the configuration and one a line in a file, and of a port.

Who shows none of a port's tokens is not let in. They are neither logged nor shown anywhere.
"""

import hashlib
import hmac
import logging
from collections.abc import Iterable
from urllib.parse import unquote

from websockets.datastructures import Headers

from .files import Unreadable, WatchedFiles, content_of

log = logging.getLogger(__name__)

SHORT = 16  # characters; shorter tokens can be guessed


class TokensError(OSError):
    """The tokens cannot be used; the text says why, in one line."""

    def __str__(self) -> str:
        return str(self.args[0])


def check_tokens(tokens: Iterable[str]) -> None:
    """Raises TokensError."""
    if not all(token.strip() for token in tokens):
        raise TokensError("tokens: an empty token lets everybody in; remove it")


def check_token_file(file: str) -> None:
    """Raises TokensError when it cannot be read or has no token in it."""
    try:
        content = content_of(file)
    except Unreadable as error:
        raise TokensError(f"tokens: {error}") from None
    some_tokens_in(content, file)


def some_tokens_in(content: bytes, file: str) -> list[str]:
    """Of a file, at least one; empty lines and those that begin with # are skipped. Raises TokensError."""
    lines = (line.strip() for line in content.decode(errors="replace").splitlines())
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise TokensError(f"tokens: {file} has no token in it")
    return found


class Tokens:
    """Those of one port. Raises TokensError when there is a file that cannot be read or has no token in it."""

    def __init__(self, tokens: Iterable[str] = (), file: str = "") -> None:
        """`file` has one token a line; empty lines and those that begin with # are skipped."""
        given = list(tokens)
        check_tokens(given)
        self._file = file
        self._own = _hashes(given)
        self._files: WatchedFiles | None = None
        self._read: frozenset[bytes] = frozenset()
        if file:
            try:
                self._files = WatchedFiles((file,))
            except Unreadable as error:
                raise TokensError(f"tokens: {error}") from None
            found = some_tokens_in(self._files.first[0], file)
            self._read = _hashes(found)
            given += found
        self._known = self._own | self._read
        _warn_of_short(given)

    @property
    def required(self) -> bool:
        return bool(self._known)

    def accepts(self, headers: Headers, query: str) -> bool:
        """Whether a handshake shows a token: as `Authorization: Bearer` or as `token` in the query of its address."""
        return self.accepts_any(headers.get_all("Authorization"), query)

    def accepts_any(self, authorizations: Iterable[str], query: str = "") -> bool:
        """The same for the values of that header."""
        return not self._known or any(self._is_known(token) for token in _shown(authorizations, query))

    def _is_known(self, token: bytes) -> bool:
        """Compares with all of them: the time it takes tells nothing."""
        offered = hashlib.sha256(token).digest()
        return sum(hmac.compare_digest(offered, known) for known in self._known) > 0

    def tick(self, now: float) -> None:
        """Read the file again if it has changed; one that has no tokens any more is logged, and the old ones stay."""
        if self._files is None:
            return
        try:
            contents = self._files.changed(now)
            if contents is None:
                return
            found = some_tokens_in(contents[0], self._file)
        except (Unreadable, TokensError) as error:
            log.error("action=tokens_reload_failed reason=%s; the tokens read before stay in use", error)
            return
        self._read = _hashes(found)
        self._known = self._own | self._read
        log.info("action=tokens_reloaded count=%d", len(self._known))
        _warn_of_short(found)


def _hashes(tokens: Iterable[str]) -> frozenset[bytes]:
    return frozenset(hashlib.sha256(token.strip().encode()).digest() for token in tokens)


def _warn_of_short(tokens: Iterable[str]) -> None:
    short = sum(len(token) < SHORT for token in tokens)
    if short:
        log.warning("action=tokens_short count=%d reason=less than %d characters can be guessed", short, SHORT)


def _shown(authorizations: Iterable[str], query: str) -> list[bytes]:
    """Every token a handshake shows."""
    shown = []
    for value in authorizations:
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            shown.append(token.strip())
    for pair in query.split("&"):
        key, _, token = pair.partition("=")
        if key == "token":
            shown += {token, unquote(token)}  # not every client encodes what stands in an address
    return [token.encode(errors="surrogateescape") for token in shown if token]
