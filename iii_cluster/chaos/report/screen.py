"""What a user sees: progress while it runs, tables at the end."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from iii_cluster.chaos.checks import Violation
from iii_cluster.chaos.checks.failures import may_be_expected
from iii_cluster.chaos.history import ENGINE, OK, History

from .recovery import Pair
from .report import Report

SHOWN = 5  # violations
PLAIN_INTERVAL = 10.0  # s between two lines of progress where there is no terminal


class Screen:
    """Progress goes to stderr, the report to stdout; `first` are the lines to begin with."""

    def __init__(self, duration: float, first: Sequence[str] = ()) -> None:
        self._first = first
        self._out = Console(highlight=False)
        self._err = Console(stderr=True, highlight=False)
        self._duration = duration
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._next_line = PLAIN_INTERVAL

    def say(self, text: str) -> None:
        self._err.print(Text(text), soft_wrap=True)

    def begins(self) -> None:
        for line in self._first:
            self.say(line)

    @contextmanager
    def running(self) -> Iterator[None]:
        if not self._err.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} s"))
        with Progress(*columns, console=self._err, transient=True) as self._progress:
            self._task = self._progress.add_task("starting", total=self._duration)
            yield

    def progress(self, seconds: float, history: History) -> None:
        if self._progress is None and seconds < self._next_line:
            return
        calls = [call for call in history.calls if call.kind != ENGINE]
        failed = sum(call.outcome not in ("", OK) and not may_be_expected(call) for call in calls)
        text = f"{len(calls)} calls, {failed} failed, {len(history.faults)} faults"
        if self._progress is not None:
            self._progress.update(self._task, completed=seconds, description=text)
        else:
            self._next_line += PLAIN_INTERVAL
            self.say(f"{seconds:3.0f} s: {text}")

    def report(self, report: Report) -> None:
        self._load(report)
        self._effects(report)
        self._recovery(report)
        self._violations(report)

    def written(self, where: str, failed: Mapping[str, str]) -> None:
        """Where the report is, but for the files that could not be written."""
        if not failed:
            self._out.print(Text(f"report: {where}"), soft_wrap=True)
            return
        reasons = "; ".join(sorted(set(failed.values())))
        self.say(f"error: {', '.join(failed)} could not be written to {where}: {reasons}")

    def _load(self, report: Report) -> None:
        columns = ("calls of", "number", "ok", "expected", "p50", "p99", "max", "errors")
        table = _table("Load", columns, left=("calls of", "errors"))
        for row in report.load:
            errors = "\n".join(f"{code} {count}" for code, count in row.errors.items())
            times = (_time(row.p50), _time(row.p99), _time(row.max))
            table.add_row(row.kind, str(row.calls), str(row.ok), str(row.expected), *times, Text(errors))
        self._print(table)

    def _effects(self, report: Report) -> None:
        columns = ("effects of", "asked", "acked", "done", "again", "missing", "dead", "late", "p99", "max")
        table = _table("Effects", columns, left=("effects of",))
        for row in report.effects:
            counts = (row.asked, row.acknowledged, row.effects, row.repeated, row.missing, row.dead, row.late)
            times = (_time(row.p99), _time(row.max))
            table.add_row(row.what, *("-" if count is None else str(count) for count in counts), *times)
        self._print(table)

    def _recovery(self, report: Report) -> None:
        columns = ("fault", "times", "detect p50/max", "reroute p50/max", "healed p50/max")
        table = _table("Recovery, seconds from the beginning of a fault", columns, left=("fault",))
        for row in report.recovery:
            table.add_row(row.kind, str(row.faults), _pair(row.detect), _pair(row.reroute), _pair(row.healed))
        self._print(table)

    def _print(self, table: Table) -> None:
        if table.row_count:
            self._out.print(table)

    def _violations(self, report: Report) -> None:
        if report.interrupted is not None:
            text = f"interrupted after {report.interrupted:.0f} s: what must hold at the end was not checked"
            self._out.print(Text(text, style="bold yellow"), soft_wrap=True)
        if report.clean:
            self._out.print(_clean(report))
            return
        count = len(report.violations)
        self._out.print(Text(f"{count} violations, seed {report.options.seed}", style="bold red"))
        for violation in _most_telling(report.violations):
            faults = f" [during {', '.join(violation.faults)}]" if violation.faults else ""
            self._out.print(
                Text(f"  {violation.at:7.2f} s  {violation.check}: {violation.text}{faults}"), soft_wrap=True
            )
        if count > SHOWN:
            self._out.print(Text(f"  and {count - SHOWN} more in report.json"))
        self._out.print(Text(f"repeat with: {report.command}"), soft_wrap=True)


def _most_telling(violations: Sequence[Violation]) -> list[Violation]:
    """The first of each rule, and then others, by time: one rule may be broken a hundred times."""
    first: dict[str, int] = {}
    for index, violation in enumerate(violations):
        first.setdefault(violation.check, index)
    others = [index for index in range(len(violations)) if index not in first.values()]
    return [violations[index] for index in sorted([*first.values(), *others][:SHOWN])]


def _clean(report: Report) -> Text:
    seed, skipped = report.options.seed, len(report.faults) - report.injected
    if report.interrupted is not None:
        return Text(f"no violation so far: seed {seed}, {report.injected} faults")
    if not report.injected:
        return Text(f"nothing was injected, seed {seed}: none of {skipped} faults applied", style="bold yellow")
    more = f", {skipped} did not apply" if skipped else ""
    return Text(f"clean: seed {seed}, {report.injected} faults{more}", style="bold green")


def _table(title: str, columns: Sequence[str], left: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="bold")
    table.pad_edge, table.padding = False, (0, 0, 0, 1)  # all of it fits into 80 columns
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", no_wrap=column not in left)
    return table


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _pair(pair: Pair) -> str:
    return " / ".join("-" if value is None else f"{value:.2f}" for value in pair)
