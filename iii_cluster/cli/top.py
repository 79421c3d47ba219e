"""`iii-cluster top`: the cluster at work, live."""

import time
from collections.abc import Iterable

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from iii_cluster.telemetry.metrics.changes import Change
from iii_cluster.telemetry.metrics.durations import quantile
from iii_cluster.telemetry.metrics.functions import FunctionNumbers
from iii_cluster.telemetry.metrics.gather import all_functions, functions_of
from iii_cluster.telemetry.metrics.snapshot import Snapshot

from .client import Client, RemoteError, connected
from .connection import connection_options, one_line_errors
from .gateway import Gateway, Unreachable
from .rows import plain

NODES = "engine::nodes::list"
RETRY = 1.0  # s until a cluster that did not answer is asked again
MAX_ROWS = 20  # functions on the screen
MEBIBYTE = 2**20
LAGGING = 50.0  # ms of event-loop lag worth a colour
ORDER = {"gateway": 0, "shard": 1, "coordinator": 2}


class Look(msgspec.Struct):
    """The cluster at one moment."""

    nodes: list[Snapshot]
    missing_nodes: list[str] = []


@click.command()
@click.option("--interval", type=click.FloatRange(0.2), default=1.0, show_default=True, help="Seconds between looks.")
@click.option(
    "--count",
    "-n",
    type=click.IntRange(1),
    help="Looks to print, one below the other, then end. Without it: live, until Ctrl-C.",
)
@connection_options
@one_line_errors
def top(interval: float, count: int | None, gateway: Gateway) -> None:
    """Show nodes, functions and queues at work, the busiest first, and go on.

    Calls are counted by whoever makes them: a gateway for its workers and clients, a shard for queues, timers and
    triggers. Not on a terminal, one look is printed unless --count says more.
    """
    console = Console()
    if count is not None or not console.is_terminal:
        _print(gateway, interval, count or 1, console)
        return
    try:
        with Live(Text("looking ..."), console=console, screen=True, auto_refresh=False) as live:
            _watch(gateway, interval, live)
    except KeyboardInterrupt:
        pass


def _watch(gateway: Gateway, interval: float, live: Live) -> None:
    """Through failovers, too: while the cluster does not answer, what was seen last stays, with a remark."""
    before: Look | None = None
    shown: RenderableType = Text("looking ...")
    while True:
        try:
            with connected(gateway) as client:
                while True:
                    now = look(client)
                    shown = screen(before or now, now)
                    live.update(shown, refresh=True)
                    before = now
                    time.sleep(interval)
        except (Unreachable, RemoteError, TimeoutError) as error:
            if before is None:
                raise Unreachable(str(error)) from None
            live.update(Group(Text(f"no answer: {plain(error)}", "bold red"), shown), refresh=True)
            time.sleep(RETRY)


def _print(gateway: Gateway, interval: float, count: int, console: Console) -> None:
    """One below the other; rates are those of one interval."""
    try:
        with connected(gateway) as client:
            before = look(client)
            for _ in range(count):
                time.sleep(interval)
                now = look(client)
                if console.is_terminal:
                    console.print(screen(before, now))
                else:
                    for line in lines(before, now):
                        click.echo(line)
                before = now
    except (RemoteError, TimeoutError) as error:
        raise Unreachable(str(error)) from None


def look(client: Client) -> Look:
    return msgspec.convert(client.invoke(NODES, {}), Look, strict=False)


# -- what is shown -----------------------------------------------------------------------------------


def screen(before: Look, now: Look) -> RenderableType:
    change = Change(before.nodes, now.nodes)
    parts: list[RenderableType] = [_summary(change, now), Text(), _nodes(before, now, change), Text()]
    functions = busiest(change)
    if functions:
        parts += [_functions(change, functions), Text()]
    queues = _queues(now)
    if queues.row_count:
        parts.append(queues)
    return Group(*parts)


def lines(before: Look, now: Look) -> Iterable[str]:
    """For programs: one line per node and function, separated by tabs."""
    change = Change(before.nodes, now.nodes)
    yield "\t".join(("", *NODE_COLUMNS))
    for row in node_rows(before, now, change):
        yield "\t".join(("node", *row))
    yield "\t".join(("", *FUNCTION_COLUMNS))
    for id, numbers in busiest(change):
        yield "\t".join(("function", *function_row(change, id, numbers)))


def busiest(change: Change) -> list[tuple[str, FunctionNumbers]]:
    totals: dict[str, list[FunctionNumbers]] = {}
    for functions in change.by_node.values():
        for id, numbers in functions.items():
            totals.setdefault(id, []).append(numbers)
    summed = [(id, all_functions(numbers)) for id, numbers in totals.items()]
    return sorted(summed, key=lambda one: (-one[1].count, one[0]))


def _summary(change: Change, now: Look) -> Text:
    total = all_functions(numbers for functions in change.by_node.values() for numbers in functions.values())
    ever = all_functions(functions_of(now.nodes).values())
    leader = next((one.node for one in now.nodes if one.leading), "none")
    text = Text()
    text.append(f"{change.per_second(total.count):,.0f} calls/s", "bold")
    text.append(f"   errors {change.per_second(total.errors):,.1f}/s", "bold red" if total.errors else "")
    text.append(f"   p50 {_ms(quantile(total.buckets, 0.5))}   p99 {_ms(quantile(total.buckets, 0.99))}")
    text.append(f"   in flight {sum(one.in_flight for one in now.nodes):,}")
    text.append(f"   workers {sum(one.workers for one in now.nodes):,}")
    text.append(f"   {ever.count:,} calls so far   leader {plain(leader)}", "dim")
    if now.missing_nodes:
        text.append(f"\nno answer from {', '.join(map(plain, now.missing_nodes))}", "bold red")
    return text


NODE_COLUMNS = ("node", "calls/s", "errors/s", "in flight", "workers", "slots", "cpu", "memory", "lag", "bus queue")


def node_rows(before: Look, now: Look, change: Change) -> list[tuple[str, ...]]:
    cpu = {(one.host, one.pid): (one.cpu_seconds, one.time_ms) for one in before.nodes}
    rows: list[tuple[str, ...]] = []
    for one in sorted(now.nodes, key=lambda one: (ORDER.get(one.role, 9), one.node)):
        total = all_functions(change.by_node.get(one.node, {}).values())
        used, at = cpu.get((one.host, one.pid), (one.cpu_seconds, one.time_ms))
        share = 1000 * (one.cpu_seconds - used) / (one.time_ms - at) if one.time_ms > at else 0.0
        rows.append(
            (
                plain(one.node) + (" *" if one.leading else ""),
                f"{change.per_second(total.count):,.0f}",
                f"{change.per_second(total.errors):,.1f}",
                f"{one.in_flight:,}",
                f"{one.workers:,}",
                f"{one.slots:,}",
                f"{share:.0%}",
                f"{one.rss_bytes / MEBIBYTE:,.0f} MiB",
                f"{one.loop_lag_ms:,.0f} ms",
                f"{one.bus.queued_bytes + one.bus.unacked_bytes:,}",
            )
        )
    return rows


def _nodes(before: Look, now: Look, change: Change) -> Table:
    table = _table(NODE_COLUMNS)
    lagging = {one.node for one in now.nodes if one.loop_lag_ms > LAGGING}
    for row in node_rows(before, now, change):
        table.add_row(*row, style="yellow" if row[0].removesuffix(" *") in lagging else None)
    return table


FUNCTION_COLUMNS = ("function", "calls/s", "errors/s", "queued/s", "p50", "p95", "p99")


def function_row(change: Change, id: str, numbers: FunctionNumbers) -> tuple[str, ...]:
    return (
        plain(id),
        f"{change.per_second(numbers.count):,.1f}",
        f"{change.per_second(numbers.errors):,.1f}",
        f"{change.per_second(numbers.deferred):,.1f}",
        *(_ms(quantile(numbers.buckets, part)) for part in (0.5, 0.95, 0.99)),
    )


def _functions(change: Change, functions: list[tuple[str, FunctionNumbers]]) -> Table:
    table = _table(FUNCTION_COLUMNS)
    for id, numbers in functions[:MAX_ROWS]:
        table.add_row(*function_row(change, id, numbers), style="red" if numbers.errors else None)
    return table


def _queues(now: Look) -> Table:
    table = _table(("queue", "jobs", "delayed", "dead", "oldest"))
    for one in now.nodes:
        for name, queue in sorted(one.queues.items()):
            if queue.depth or queue.dead or queue.delayed:
                cells = (f"{queue.depth:,}", f"{queue.delayed:,}", f"{queue.dead:,}", f"{queue.oldest_seconds:,.0f} s")
                table.add_row(plain(name), *cells, style="red" if queue.dead else None)
    return table


def _table(columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(columns[0], no_wrap=True, overflow="ellipsis")
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds else "-"
