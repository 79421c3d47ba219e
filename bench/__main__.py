"""Command line of the bench: `python -m bench`."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from . import suite
from .agreement import agreement
from .cluster import Cluster, ClusterError, Valkey
from .edge import suite as edge_suite
from .figures import Row
from .modules import suite as module_suite
from .remote import LoadError
from .report import facts, print_table, write_json
from .telemetry.suite import telemetry
from .usage import raise_open_files

OPEN_FILES = 16_384  # also for the gateways, which inherit the limit
SCENARIOS = (
    *("calls", "scale", "register", "memory"),
    *("state", "streams", "queues", "pubsub", "cron"),
    *("http", "routes", "channels", "access"),
    *("telemetry", "agreement"),
    "compare",
)
FULL_SECONDS = 2.0
QUICK_SECONDS = 0.6
BUSY = 0.25  # load average per core before the run from which figures are suspect
FILE_WIDTH = 170  # columns of the table when the output is not a terminal

Scenario = Callable[[], list[Row]]


@click.command()
@click.option("--quick", is_flag=True, help="Short windows and small sizes: a smoke test, not a measurement.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help=f"Length of one window (default {FULL_SECONDS}).")
@click.option("--only", "names", multiple=True, type=click.Choice(SCENARIOS), help="Run this scenario; repeatable.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Where the results go.")
@click.option("--url", help="Measure this running server instead of starting a cluster.")
@click.option("--url2", help="Another gateway of the same cluster, for calls across gateways.")
@click.option("--compare", "other", help="Measure this server in turns with the cluster or --url, and print ratios.")
def main(
    quick: bool,
    seconds: float | None,
    names: tuple[str, ...],
    path: Path | None,
    url: str | None,
    url2: str | None,
    other: str | None,
) -> None:
    """Measures invocations of a cluster, or of any server of the worker protocol."""
    if url2 and not url:
        raise click.UsageError("--url2 needs --url")
    if "compare" in names and not other:
        raise click.UsageError("--only compare needs --compare URL")
    raise_open_files(OPEN_FILES)
    if seconds is None:
        seconds = QUICK_SECONDS if quick else FULL_SECONDS
    plan = suite.quick(seconds) if quick else suite.full(seconds)
    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    machine = facts()
    if machine["load_average"] > machine["cores"] * BUSY:
        console.print(
            f"this machine is busy (load average {machine['load_average']:.1f}): expect noise", style="yellow"
        )
    began = time.monotonic()
    rows: list[Row] = []
    with ExitStack() as stack:
        if url:
            runs = against_url(plan, suite.Target(url, url2), other)
        else:
            modules = module_suite.quick(seconds) if quick else module_suite.full(seconds)
            edge = edge_suite.quick(seconds) if quick else edge_suite.full(seconds)
            runs = against_own(plan, modules, edge, stack.enter_context(Valkey()), other)
        for name in names or (["compare"] if other else list(runs)):
            if name not in runs:
                raise click.UsageError(f"{name} needs control of the processes: run it without --url")
            console.print(f"{name} ...", style="dim")
            try:
                rows += runs[name]()
            except (ClusterError, LoadError) as error:
                raise click.ClickException(f"{name}: {error}") from error
    print_table(rows, console)
    path = path or Path("bench-results") / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    write_json(path, machine, rows, {"quick": quick, "seconds": seconds, "url": url, "url2": url2, "compare": other})
    console.print(f"{time.monotonic() - began:.0f} s, results in {path}", style="dim")


def against_url(plan: suite.Plan, target: suite.Target, other: str | None) -> dict[str, Scenario]:
    """Scenarios that need no control of the server's processes."""
    runs: dict[str, Scenario] = {
        "calls": lambda: suite.calls(plan, target),
        "register": lambda: suite.register(plan, target),
    }
    if other:
        runs["compare"] = lambda: suite.compare(plan, target, other)
    return runs


def against_own(
    plan: suite.Plan, modules: module_suite.Plan, edge: edge_suite.Plan, valkey: Valkey, other: str | None
) -> dict[str, Scenario]:
    """All scenarios, each with a cluster of its own."""

    def fresh(name: str, scenario: Callable[[Cluster], list[Row]]) -> Scenario:
        def run() -> list[Row]:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
                config.write(edge_suite.CONFIG)
                config.flush()
                with Cluster(valkey, f"bench-{name}", Path(config.name)) as cluster:
                    return scenario(cluster)

        return run

    runs: dict[str, Scenario] = {
        "calls": fresh("calls", lambda cluster: suite.calls(plan, suite.own_target(cluster))),
        "scale": lambda: suite.scale(plan, valkey),
        "register": fresh("register", lambda cluster: suite.register(plan, suite.own_target(cluster))),
        "memory": fresh("memory", lambda cluster: suite.memory(plan, cluster)),
        "state": fresh("state", lambda cluster: module_suite.state(modules, cluster, valkey)),
        "streams": fresh("streams", lambda cluster: module_suite.streams(modules, cluster)),
        "queues": fresh("queues", lambda cluster: module_suite.queues(modules, cluster)),
        "pubsub": fresh("pubsub", lambda cluster: module_suite.pubsub(modules, cluster)),
        "cron": fresh("cron", lambda cluster: module_suite.cron(modules, cluster)),
        "http": fresh("http", lambda cluster: edge_suite.http(edge, cluster)),
        "routes": fresh("routes", lambda cluster: edge_suite.routes(edge, cluster)),
        "channels": fresh("channels", lambda cluster: edge_suite.channels(edge, cluster)),
        "access": fresh("access", lambda cluster: edge_suite.access(edge, cluster)),
        "telemetry": lambda: telemetry(plan, valkey),
        "agreement": fresh("agreement", lambda cluster: agreement(plan, cluster)),
    }
    if other:
        runs["compare"] = fresh("compare", lambda cluster: suite.compare(plan, suite.own_target(cluster), other))
    return runs


if __name__ == "__main__":
    main()
