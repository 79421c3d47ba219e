"""The `iii-cluster` command."""

import importlib

import click

from iii_cluster import __version__

# Command -> its module. Imported when it is named: a node must not wait for what other commands need.
COMMANDS = {
    "gateway": "roles",
    "shard": "roles",
    "coordinator": "roles",
    "up": "up",
    "status": "status",
    "top": "top",
    "drain": "drain",
    "restart": "restart",
    "workers": "inspect",
    "functions": "inspect",
    "triggers": "inspect",
    "logs": "logs",
    "trace": "trace",
    "invoke": "invoke",
    "chaos": "chaos",
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[cmd_name]}", __package__)
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-v", "--version", prog_name="iii-cluster")
def main() -> None:
    """The III engine as a horizontally scalable cluster."""


if __name__ == "__main__":
    main()
