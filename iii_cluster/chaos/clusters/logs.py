"""What each process of a cluster of our own writes, in a file for each; the first column is the time in the report."""

from collections.abc import Callable
from pathlib import Path
from typing import TextIO


class Logs:
    """A log that can not be written ends there; `say` is told once."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._say = say
        self._files: dict[str, TextIO] = {}
        self._broken = False

    def write(self, name: str, at: float, line: str) -> None:
        if self._broken:
            return
        try:
            if name not in self._files:
                self._files[name] = (self._directory / f"{name}.log").open("w")
            self._files[name].write(f"{at:9.3f} {line}\n")
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        for file in self._files.values():
            try:
                file.close()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self._broken:
            self._say(f"logs can not be written: {error.strerror}")
        self._broken = True
