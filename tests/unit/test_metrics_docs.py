"""What is written about metrics is so."""

import re
from pathlib import Path

from iii_cluster.config.settings import METRICS_PORT
from iii_cluster.telemetry.metrics.durations import BOUNDS
from iii_cluster.telemetry.metrics.families import FAMILIES
from iii_cluster.telemetry.metrics.functions import MAX_CODES, MAX_FUNCTIONS
from iii_cluster.telemetry.metrics.requests import MAX_ROUTES

PAGE = (Path(__file__).parents[2] / "docs/telemetry/metrics.md").read_text()


def test_the_table_has_every_metric_as_it_is() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| `(iii|process)_", line)]
    assert rows == [
        [
            f"`{family.exposed}`",
            f"`{family.otel}`" if family.otel else "-",
            family.kind.value,
            f"`{family.unit}`" if family.unit else "-",
            ", ".join(f"`{label}`" for label in family.labels) or "-",
            family.help,
        ]
        for family in FAMILIES
    ]


def test_limits_are_those_of_the_code() -> None:
    limits = f"{MAX_FUNCTIONS:,} functions, {MAX_ROUTES:,} routes and {MAX_CODES} error codes"
    assert limits in " ".join(PAGE.split())
    assert f"| `metrics_port` | {METRICS_PORT} |" in PAGE
    [told] = re.findall(r"end at ([\d., ]+) ms, ([\d., and]+) s\.", PAGE)
    short, long = ([float(number) for number in re.findall(r"[\d.]+", part)] for part in told)
    assert [*(number / 1000 for number in short), *long] == list(BOUNDS)
