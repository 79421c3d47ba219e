"""What is left of a run: report.json, history.jsonl and timeline.svg in its output directory."""

import math
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from iii_cluster.chaos.checks import Violation, expected_failures
from iii_cluster.chaos.faults.schedule import Planned
from iii_cluster.chaos.history import ENGINE, History, Injected, to_lines
from iii_cluster.chaos.options import Options
from iii_cluster.chaos.run import Outcome

from .effects import EffectRow, effect_rows, effects_per_second
from .picture import Span, draw
from .place import fill
from .recovery import Recovery, RecoveryRow, recoveries, rows
from .statistics import BUCKET, Bucket, LoadRow, buckets, load_rows


class Verdict(StrEnum):
    CLEAN = "clean"
    VIOLATED = "violated"
    INTERRUPTED = "interrupted"
    TROUBLE = "trouble"  # nothing is said about the cluster, or what is said could not be kept


class Report(Struct, kw_only=True):
    """Times are seconds since the start of the run."""

    options: Options
    command: str
    clean: bool
    violations: list[Violation]
    left_out: dict[str, str]  # fault -> why this machine does not allow it
    load: list[LoadRow]
    effects: list[EffectRow]
    recovery: list[RecoveryRow]
    recoveries: list[Recovery]
    plan: list[Planned]
    faults: list[Injected]
    timeline: list[Bucket]
    effects_per_second: dict[str, list[int]]
    ended: float
    interrupted: float | None = None  # after so many seconds of load; the end was not checked

    @property
    def injected(self) -> int:
        """Faults that were carried out."""
        return sum(not fault.skipped for fault in self.faults)

    @property
    def verdict(self) -> Verdict:
        if self.interrupted is not None:
            return Verdict.INTERRUPTED
        if not self.clean:
            return Verdict.VIOLATED
        return Verdict.CLEAN if self.injected else Verdict.TROUBLE


def report(options: Options, outcome: Outcome, left_out: Mapping[str, str]) -> Report:
    history = outcome.history
    calls = [call for call in history.calls if call.kind != ENGINE]
    expected = expected_failures(history)
    found = recoveries(history, expected)
    return Report(
        options=options,
        command=options.command(),
        clean=not outcome.violations,
        violations=outcome.violations,
        left_out=dict(left_out),
        load=load_rows(calls, expected),
        effects=effect_rows(history),
        recovery=rows(found),
        recoveries=found,
        plan=outcome.plan,
        faults=history.faults,
        timeline=buckets(calls, history.ended, expected),
        effects_per_second=effects_per_second(history),
        ended=history.ended,
        interrupted=outcome.interrupted,
    )


def write(made: Report, history: History, directory: Path) -> dict[str, str]:
    """Names of the files that could not be written, and why."""
    verdict = "clean" if made.clean else f"{len(made.violations)} violations"
    if made.interrupted is not None:
        verdict = f"interrupted after {made.interrupted:.0f} s" + ("" if made.clean else f", {verdict}")
    title = f"iii-cluster chaos, seed {made.options.seed}: {verdict}"
    files = {
        "report.json": lambda: msgspec.json.format(msgspec.json.encode(made, enc_hook=_plain), indent=2),
        "history.jsonl": lambda: to_lines(history),
        "timeline.svg": lambda: draw(
            title, made.timeline, made.effects_per_second, made.faults, _span(history)
        ).encode(),
    }
    return fill(directory, files)


def _span(history: History) -> Span:
    """From the first call of the load on: before it the cluster only starts."""
    began = min((call.began for call in history.calls if call.kind != ENGINE), default=0.0)
    return Span(math.floor(began / BUCKET) * BUCKET, max(history.ended, began + BUCKET))


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)
