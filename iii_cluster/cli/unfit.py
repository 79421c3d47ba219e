"""What processes of this machine could not work with, told before anything is started."""

from collections.abc import Mapping

import click
from msgspec.structs import replace

from iii_cluster.access.check import Unusable, unusable_files
from iii_cluster.config.errors import ConfigError
from iii_cluster.config.load import Config, Source
from iii_cluster.config.ports import CONSOLE, Listening, admin_port, clash_text, clashes, metrics_port, shared_ports
from iii_cluster.config.settings import Settings

from .options import EXIT_INVALID


def refuse_unfit(config: Config, *, gateway: bool, coordinator: bool, nodes: int = 1) -> None:
    """Ends the process after a line for each finding. `nodes` have ports of their own that follow each other; a
    `gateway` and a `coordinator` are among them."""
    settings = config.settings
    findings = _clashes(settings, nodes, shared_ports(settings, gateway=gateway, coordinator=coordinator))
    unusable = unusable_files(settings, gateway=gateway, coordinator=coordinator)
    findings += [_placed(one, config.sources) for one in unusable]
    for text in findings:
        click.echo(f"error: {text}", err=True)
    if findings:
        raise SystemExit(EXIT_INVALID)


def _placed(unusable: Unusable, sources: Mapping[str, Source]) -> str:
    """With file and line of the setting, as far as they are known."""
    source = next((sources[name] for name in unusable.where if name in sources), None)
    return str(ConfigError(*source, unusable.text)) if source is not None else unusable.text


def _clashes(settings: Settings, nodes: int, shared: list[Listening]) -> list[str]:
    ports = list(shared)
    findings = [clash_text(one, other) for one, other in clashes(shared) if other.name == CONSOLE]
    for first in (admin_port(settings), metrics_port(settings)):
        numbers = range(first.port, first.port + nodes) if first.port else ()
        own = [replace(first, port=number) for number in numbers]
        findings += [clash_text(other, one) for one in own for other in ports if list(clashes((other, one)))]
        ports += own
    return findings
