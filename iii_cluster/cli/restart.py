"""`iii-cluster restart`: new processes for a cluster that `iii-cluster up` runs on this machine."""

import time
from pathlib import Path

import click

from .connection import one_line_errors
from .control import Finished, Replaced, Restart, ask
from .options import config_option, load_config, setting_options

EXIT_INTERRUPTED = 130


@click.command()
@click.option(
    "--rolling", is_flag=True, help="One process at a time, each replaced before it is stopped: the cluster serves on."
)
@config_option
@setting_options(["data_dir"])
@one_line_errors
def restart(rolling: bool, config_file: Path | None, data_dir: str | None) -> None:
    """Restart the processes of `iii-cluster up`, except Valkey, without restarting `up` itself.

    Those that were drained are started again. The new processes run the code that is installed now, with the
    settings `up` was started with.
    """
    config = load_config(config_file, {"data_dir": data_dir}, notices=False)
    try:
        _follow(Path(config.topology.data_dir), Restart(rolling))
    except KeyboardInterrupt:
        click.echo("the restart goes on; `iii-cluster up` shows how", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


def _follow(data_dir: Path, request: Restart) -> None:
    """Prints what happens until it is over."""
    began, count = time.monotonic(), 0
    for event in ask(data_dir, request):
        if isinstance(event, Finished) and event.note:
            click.echo(f"note: {event.note}", err=True)
        match event:
            case Replaced():
                count += 1
                click.echo(_line(event))
            case Finished(error="", tail=_):
                click.echo(f"restarted {count} processes in {time.monotonic() - began:.1f} s")
            case Finished(error=error, tail=tail):
                click.echo(f"error: {error}", err=True)
                for line in tail:
                    click.echo(f"    {line}", err=True)
                raise SystemExit(1)


def _line(event: Replaced) -> str:
    ids = f"{event.old or 'none'} -> {event.new}"
    killed = "  (the old one was killed)" if event.killed else ""
    return f"{event.name:<14} {ids}  process {event.pid}  {event.seconds:.1f} s{killed}"
