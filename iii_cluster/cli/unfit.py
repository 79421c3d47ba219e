"""What processes of this machine could not work with, told before anything is started."""

from collections.abc import Mapping

import click
from msgspec.structs import replace

from iii_cluster.access.check import Unusable, unusable_files
from iii_cluster.config.errors import ConfigError
from iii_cluster.config.load import Config, Source
from iii_cluster.config.ports import admin_port, clash_text, clashes, ports_of_gateway
from iii_cluster.config.settings import Settings

from .options import EXIT_INVALID


def refuse_unfit(config: Config, *, gateway: bool, nodes: int = 1) -> None:
    """Ends the process after a line for each finding. `nodes` have admin ports that follow each other; a `gateway` is
    among them."""
    findings = _admin_clashes(config.settings, nodes) if gateway else []
    findings += [_placed(one, config.sources) for one in unusable_files(config.settings, gateway=gateway)]
    for text in findings:
        click.echo(f"error: {text}", err=True)
    if findings:
        raise SystemExit(EXIT_INVALID)


def _placed(unusable: Unusable, sources: Mapping[str, Source]) -> str:
    """With file and line of the setting, as far as they are known."""
    source = next((sources[name] for name in unusable.where if name in sources), None)
    return str(ConfigError(*source, unusable.text)) if source is not None else unusable.text


def _admin_clashes(settings: Settings, nodes: int) -> list[str]:
    ports = ports_of_gateway(settings)
    numbers = range(settings.admin_port, settings.admin_port + nodes) if settings.admin_port else ()
    admins = [replace(admin_port(settings), port=number) for number in numbers]
    return [clash_text(one, admin) for admin in admins for one in ports if list(clashes((one, admin)))]
