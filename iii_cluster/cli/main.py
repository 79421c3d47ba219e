"""The `iii-cluster` command."""

import click

from iii_cluster import __version__
from iii_cluster.cluster.map import Role

from .chaos import chaos
from .drain import drain
from .inspect import functions, triggers, workers
from .invoke import invoke
from .restart import restart
from .roles import role_command
from .status import status
from .up import up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-v", "--version", prog_name="iii-cluster")
def main() -> None:
    """The III engine as a horizontally scalable cluster."""


for _role in Role:
    main.add_command(role_command(_role))
for _command in (up, status, drain, restart, workers, functions, triggers, invoke, chaos):
    main.add_command(_command)

if __name__ == "__main__":
    main()
