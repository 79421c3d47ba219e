"""What is wrong with a configuration, said with file, line and a hint, all of it at once."""

import difflib
from collections.abc import Iterable

from msgspec import Struct


class ConfigError(Exception):
    """One thing wrong. `file` is a path or "environment" or "command line"; `line` is 1-based, 0 when there is none."""

    def __init__(self, file: str, line: int, message: str, hint: str = "") -> None:
        super().__init__(file, line, message, hint)
        self.file = file
        self.line = line
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{_place(self.file, self.line)}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class InvalidConfig(Exception):
    """Everything found wrong in one go; never empty."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class Notice(Struct, frozen=True):
    """Something the operator should know although the start goes on."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{_place(self.file, self.line)}: {self.message}"


class Findings:
    """Collects errors and notices of one source while it is read to the end."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[ConfigError] = []
        self.notices: list[Notice] = []
        self.lines: dict[str, int] = {}  # of each value read, by field name

    def error(self, line: int, message: str, hint: str = "") -> None:
        self.errors.append(ConfigError(self.file, line, message, hint))

    def notice(self, line: int, message: str) -> None:
        self.notices.append(Notice(self.file, line, message))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the known word closest to a misspelt one, or all of them when they are few."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    if 0 < len(words) <= 8:
        return "known: " + ", ".join(f"`{name}`" for name in words)
    return ""


def _place(file: str, line: int) -> str:
    return f"{file}:{line}" if line else file
