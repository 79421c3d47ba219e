"""`iii-cluster logs`: what workers and nodes have logged, and what they log from now on."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from .client import Client, RemoteError, connected
from .connection import connection_options, one_line_errors
from .gateway import Gateway, Unreachable
from .moments import moment
from .rows import json_option, plain

LEVELS = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "warning": 13, "error": 17}
STYLES = ((17, "bold red"), (13, "yellow"), (9, "green"), (0, "dim"))
POLL = 0.5  # s between questions for more
RETRY = 1.0  # s until a cluster that went away is asked again
OVERLAP_MS = 5_000  # asked for again: records reach the store a little after their time
MAX_SEEN = 50_000  # records remembered to tell new ones

NODE = "service.instance.id"  # of a resource, where it is one of ours
OWN_PLACE = frozenset({"service.name", "trace_id", "span_id"})  # attributes that are shown otherwise

Record = dict[str, Any]


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what is logged from now on.")
@click.option("--lines", "-n", type=click.IntRange(0), default=50, show_default=True, help="Records to begin with.")
@click.option(
    "--level",
    type=click.Choice(list(LEVELS), case_sensitive=False),
    default="trace",
    show_default=True,
    help="Least severe.",
)
@click.option("--service", default="", help="Only of services whose name contains this.")
@click.option("--trace", "trace_id", default="", help="Only of this trace.")
@click.option("--grep", "words", default="", help="Only with this text in them.")
@json_option
@connection_options
@one_line_errors
def logs(
    follow: bool,
    lines: int,
    level: str,
    service: str,
    trace_id: str,
    words: str,
    as_json: bool,
    gateway: Gateway,
) -> None:
    """Show what workers and nodes have logged, oldest first.

    The cluster keeps the latest records only: a thousand, for an hour, unless it is configured otherwise.
    """
    query: dict[str, Any] = {"severity_min": LEVELS[level]}
    if trace_id:
        query["trace_id"] = trace_id

    def wanted(record: Record) -> bool:
        return service.lower() in str(record["service_name"]).lower() and words.lower() in str(record["body"]).lower()

    console = Console(highlight=False, soft_wrap=True)
    try:
        for record in _records(gateway, query, wanted, lines, follow=follow):
            click.echo(json.dumps(record, ensure_ascii=False)) if as_json else console.print(line_of(record))
    except (RemoteError, TimeoutError) as error:
        raise Unreachable(str(error)) from None
    except KeyboardInterrupt:
        pass


def _records(
    gateway: Gateway, query: dict[str, Any], wanted: Callable[[Record], bool], lines: int, *, follow: bool
) -> Iterator[Record]:
    """The last `lines` of what there is, then, if wanted, without end, what comes; through failovers, too."""
    seen = Seen()
    with connected(gateway) as client:
        known = [record for record in _ask(client, query) if wanted(record)]
        yield from list(seen.new(known))[-lines:] if lines else ()
    since = _now()
    while follow:
        try:
            with connected(gateway) as client:
                while True:
                    time.sleep(POLL)
                    asked = _now()
                    records = _ask(client, {**query, "start_time": since - OVERLAP_MS})
                    yield from seen.new(record for record in records if wanted(record))
                    since = asked
        except Unreachable as error:
            click.echo(f"no answer: {error}; trying again", err=True)
            time.sleep(RETRY)


def _now() -> int:
    return int(time.time() * 1000)


def _ask(client: Client, query: dict[str, Any]) -> list[Record]:
    """Oldest first."""
    answer = client.invoke("engine::logs::list", query)
    return list(reversed(answer["logs"])) if isinstance(answer, dict) else []


class Seen:
    """Tells records that were shown from new ones: the store gives them no number."""

    def __init__(self) -> None:
        self._keys: dict[tuple[object, ...], None] = {}  # oldest first

    def new(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            key = (
                record["timestamp_unix_nano"],
                record["service_name"],
                record["severity_number"],
                record["body"],
                record.get("span_id"),
            )
            if key not in self._keys:
                self._keys[key] = None
                yield record
        while len(self._keys) > MAX_SEEN:
            del self._keys[next(iter(self._keys))]


def line_of(record: Record) -> Text:
    """`12:30:01.250 info  billing  charged  trace=0af7...`, in colours; the date when it is not today's."""
    style = next(style for least, style in STYLES if record["severity_number"] >= least)
    line = Text(moment(record["timestamp_unix_nano"] or record["observed_timestamp_unix_nano"]), "dim")
    line.append(f" {plain(record['severity_text']).lower():5} ", style)
    line.append(f"{plain(record['service_name'])}  ", "cyan")
    body = plain(record["body"])
    line.append(body)
    for key, value in record["attributes"].items():
        shown = plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        if key not in OWN_PLACE and f"{plain(key)}={shown}".lower() not in body.lower():  # nodes have theirs in both
            line.append(f"  {plain(key)}={shown}", "dim")
    if node := (record.get("resource") or {}).get(NODE):
        line.append(f"  node={plain(node)}", "dim")
    if record.get("trace_id"):
        line.append(f"  trace={plain(record['trace_id'])}", "dim")
    return line
