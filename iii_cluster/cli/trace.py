"""`iii-cluster trace`: the latest traces, or one of them as a waterfall."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .client import Client, RemoteError, connected
from .connection import connection_options, one_line_errors
from .gateway import Gateway, Unreachable
from .moments import date_time, duration
from .rows import json_option, plain, print_rows

COLUMNS = ("started", "took", "spans", "errors", "name", "service_name", "trace_id")
# Widths in characters; the span gets what is left.
NAME = 16  # at least
SERVICE = 14
BAR = 20
TOOK = 9
GAPS = 6  # two behind each column but the last
ID = 32  # digits
MAX_LOOKED_AT = 10_000  # traces, for the beginning of an id

STATUS_STYLES = {"error": "red", "ok": "green", "unset": "blue"}

Span = dict[str, Any]


@click.command()
@click.argument("trace_id", default="")
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True, help="Traces to list.")
@click.option("--name", default="", help="Only traces with a span whose name contains this.")
@click.option("--service", default="", help="Only traces with a span of a service whose name contains this.")
@click.option("--errors", is_flag=True, help="Only traces in which something failed.")
@click.option("--slower-than", type=click.FloatRange(0), metavar="MS", help="Only traces that took longer.")
@click.option("--internal", is_flag=True, help="The engine's own functions, too.")
@json_option
@connection_options
@one_line_errors
def trace(
    trace_id: str,
    limit: int,
    name: str,
    service: str,
    errors: bool,
    slower_than: float | None,
    internal: bool,
    as_json: bool,
    gateway: Gateway,
) -> None:
    """List the latest traces, newest first, or show the spans of TRACE_ID."""
    query = {
        "limit": limit,
        "sort_order": "desc",
        "include_internal": internal,
        **({"name": name} if name else {}),
        **({"service_name": service} if service else {}),
        **({"status": "error"} if errors else {}),
        **({"min_duration_ms": slower_than} if slower_than is not None else {}),
    }
    try:
        with connected(gateway) as client:
            if trace_id:
                _show(client, trace_id.lower(), as_json=as_json)
            else:
                _list(client, query, as_json=as_json)
    except (RemoteError, TimeoutError) as error:
        raise Unreachable(str(error)) from None


def _list(client: Client, query: dict[str, Any], *, as_json: bool) -> None:
    answer = client.invoke("engine::traces::summaries", query)
    traces = answer["traces"] if isinstance(answer, dict) else []
    if as_json:
        click.echo(json.dumps(traces, indent=2, ensure_ascii=False))
        return
    rows = [
        {
            **trace,
            "started": date_time(trace["start_time_unix_nano"]),
            "took": duration(trace["duration_ns"]) if trace["end_time_unix_nano"] else "goes on",
            "spans": trace["span_count"],
            "errors": trace["error_count"] or "",
        }
        for trace in traces
    ]
    print_rows(rows, COLUMNS)


def _show(client: Client, trace_id: str, *, as_json: bool) -> None:
    if len(trace_id) < ID:
        trace_id = _whole_id(client, trace_id)
    answer = client.invoke("engine::traces::tree", {"trace_id": trace_id})
    roots = answer["roots"] if isinstance(answer, dict) else []
    if as_json:
        click.echo(json.dumps(roots, indent=2, ensure_ascii=False))
        return
    if not roots:
        raise Unreachable(f"there is no trace {plain(trace_id)}: it was not sampled, or is not kept any more")
    rows = waterfall(roots)
    console = Console(highlight=False)
    if not console.is_terminal:
        _print_lines(rows)
        return
    console.print(f"trace {trace_id}, {len(rows)} spans, {date_time(min(r['start_time_unix_nano'] for r in roots))}")
    console.print(_table(rows, console.width))


def _whole_id(client: Client, beginning: str) -> str:
    """Of the kept traces, the one whose id begins so. Raises Unreachable."""
    answer = client.invoke("engine::traces::summaries", {"limit": MAX_LOOKED_AT, "include_internal": True})
    traces = answer["traces"] if isinstance(answer, dict) else []
    found = sorted(one["trace_id"] for one in traces if one["trace_id"].startswith(beginning))
    if not found:
        raise Unreachable(f"no trace that is kept begins with {plain(beginning)}")
    if len(found) > 1:
        raise Unreachable(f"{plain(beginning)} is not the beginning of one trace only: {', '.join(found[:5])}")
    return str(found[0])


def _print_lines(rows: list[tuple[int, Span, tuple[float, float]]]) -> None:
    """For programs; when a span began is said from the beginning of the trace on."""
    first = min(_start(span) for _, span, _ in rows)
    click.echo("span\tservice\tstatus\tbegan\ttook\terror")
    for depth, span, _ in rows:
        began = duration(_start(span) - first)
        error = plain(span.get("status_description") or "")
        cells = (
            "  " * depth + plain(span["name"]),
            plain(span["service_name"]),
            span["status"],
            began,
            _took(span),
            error,
        )
        click.echo("\t".join(cells))


def waterfall(roots: list[Span]) -> list[tuple[int, Span, tuple[float, float]]]:
    """Every span, parents before their children: its depth, and where it begins and ends (0-1 of the whole trace)."""
    rows: list[tuple[int, Span]] = []
    rest = [(0, root) for root in sorted(roots, key=_start, reverse=True)]
    while rest:
        depth, span = rest.pop()
        rows.append((depth, span))
        rest += [(depth + 1, child) for child in sorted(span["children"], key=_start, reverse=True)]
    first = min(_start(span) for _, span in rows)
    whole = max(max(_end(span) for _, span in rows) - first, 1)
    return [(depth, span, ((_start(span) - first) / whole, (_end(span) - first) / whole)) for depth, span in rows]


def _table(rows: list[tuple[int, Span, tuple[float, float]]], width: int) -> Table:
    """`width` is that of the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("span", no_wrap=True, overflow="ellipsis", width=max(width - SERVICE - BAR - TOOK - GAPS, NAME))
    table.add_column("service", no_wrap=True, overflow="ellipsis", width=SERVICE)
    table.add_column("", no_wrap=True, width=BAR)
    table.add_column("took", justify="right", no_wrap=True, width=TOOK)
    for depth, span, (begin, end) in rows:
        style = STATUS_STYLES.get(span["status"], "")
        at = min(int(begin * BAR), BAR - 1)
        bar = Text(" " * at + "━" * max(round(end * BAR) - at, 1), style)
        name = Text("  " * depth + plain(span["name"]), "bold red" if span["status"] == "error" else "")
        if span.get("status_description"):
            name.append(f"  {plain(span['status_description'])}", "red")
        table.add_row(name, Text(plain(span["service_name"]), "cyan"), bar, _took(span))
    return table


def _start(span: Span) -> int:
    return int(span["start_time_unix_nano"])


def _end(span: Span) -> int:
    """Of one that goes on, its beginning."""
    return max(int(span["end_time_unix_nano"]), _start(span))


def _took(span: Span) -> str:
    return duration(_end(span) - _start(span)) if span["end_time_unix_nano"] else "goes on"
