"""Tokens as they are written down: in the configuration, and one a line in a file."""

from collections.abc import Iterable

from .files import Unreadable, content_of


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
