"""Globs of host names and of variable names: `*` any text, `?` one character, `[a-z]` and `[!a-z]` one of a set."""

import re
from collections.abc import Iterable


class BadGlob(ValueError):
    """What is no glob; its text."""


def compile_globs(globs: Iterable[str], *, ignore_case: bool = False) -> tuple[re.Pattern[str], ...]:
    """To be used with `fullmatch`. Raises BadGlob."""
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    patterns = []
    for glob in globs:
        try:
            patterns.append(re.compile(_translated(glob), flags))
        except re.error:
            raise BadGlob(glob) from None
    return tuple(patterns)


def _translated(glob: str) -> str:
    parts: list[str] = []
    at = 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "*":
            if not parts or parts[-1] != ".*":  # two of them would only be slower
                parts.append(".*")
        elif char == "?":
            parts.append(".")
        elif char == "[":
            end = glob.find("]", at + (2 if glob[at : at + 1] == "!" else 1))
            if end < 0:
                raise BadGlob(glob)
            parts.append(_set(glob[at:end]))
            at = end + 1
        else:
            parts.append(re.escape(char))
    return "".join(parts)


def _set(inside: str) -> str:
    negated, chars = inside.startswith("!"), inside.removeprefix("!")
    escaped = "-".join(re.escape(part) for part in chars.split("-"))
    return f"[{'^' if negated else ''}{escaped}]"
