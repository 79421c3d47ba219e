"""What `iii-cluster up` shows: progress and log lines on stderr, the summary on stdout."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {"gateway": "cyan", "shard": "green", "coordinator": "magenta", "valkey": "yellow"}
NAME_WIDTH = 13  # of "coordinator-1"


class _Stream(Console):
    """A console whose reader may go away (`up | head`): the cluster goes on, this stream falls silent."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.file.fileno())
        os.close(devnull)


class Screen:
    """Colours, tables and a spinner on a terminal; plain lines elsewhere. A stream that is gone is ignored."""

    def __init__(self) -> None:
        self._out = _Stream(highlight=False)
        self._err = _Stream(stderr=True, highlight=False)

    @property
    def on_terminal(self) -> bool:
        """Whether somebody reads the summary: it goes to no file and no log."""
        return self._out.file.isatty()

    def say(self, text: str) -> None:
        self._print(self._err, Text(f"iii-cluster: {text}", style="bold"))

    def error(self, text: str) -> None:
        self._print(self._err, Text(f"error: {text}", style="bold red"))

    def output(self, name: str, line: str) -> None:
        """One line a child wrote."""
        prefix = Text(f"{name:<{NAME_WIDTH}} | ", style=COLOURS.get(name.partition("-")[0], ""))
        self._print(self._err, prefix + Text(line, style="default"))

    def tail(self, lines: Iterable[str]) -> None:
        """The end of a failed child's output."""
        for line in lines:
            self._print(self._err, Text(f"    {line}"))

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[None]:
        if not self._err.is_terminal:
            yield
            return
        with self._err.status(text):
            yield

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        if not self._out.is_terminal:
            for row in rows:
                self._print(self._out, Text(" ".join(cell for cell in row if cell)))
            return
        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        with contextlib.suppress(OSError):
            self._out.print(table)

    def facts(self, facts: Mapping[str, str]) -> None:
        for name, value in facts.items():
            self._print(self._out, Text.assemble((f"{name:<12}", "bold"), value))

    def _print(self, console: Console, text: Text) -> None:
        with contextlib.suppress(OSError):
            console.print(text, soft_wrap=True)
