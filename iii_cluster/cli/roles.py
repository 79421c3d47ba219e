"""`iii-cluster gateway|shard|coordinator`: one process of a cluster in the foreground."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import click

from iii_cluster.cluster.map import Role
from iii_cluster.config.fields import FLAGS
from iii_cluster.config.ports import admin_port, metrics_port, shared_ports
from iii_cluster.config.settings import Settings
from iii_cluster.local.ports import PortError, check_free, check_shareable

from .options import EXIT_INVALID, config_option, load_config, setting_options
from .unfit import refuse_unfit

SERVICES = {
    Role.GATEWAY: "gateway.service",
    Role.SHARD: "shard.service",
    Role.COORDINATOR: "coordinator.service",
}

SUMMARIES = {
    Role.GATEWAY: "Run one gateway: workers connect to it and call each other's functions.",
    Role.SHARD: "Run one shard: it keeps a part of the registry of functions and triggers.",
    Role.COORDINATOR: "Run one coordinator: the leader among them keeps the cluster map.",
}


def role_command(role: Role) -> click.Command:
    @click.command(role.value, help=SUMMARIES[role])
    @config_option
    @setting_options(FLAGS)
    @click.option("--ready-fd", type=int, hidden=True)
    @click.option("--lifeline-fd", type=int, hidden=True)
    def command(config_file: Path | None, ready_fd: int | None, lifeline_fd: int | None, **flags: Any) -> None:
        config = load_config(config_file, flags)
        settings = config.settings
        if not settings.redis_urls:
            click.echo("error: no Redis is given; use --redis-url or III_CLUSTER_REDIS_URL", err=True)
            raise SystemExit(EXIT_INVALID)
        refuse_unfit(config, gateway=role is Role.GATEWAY, coordinator=role is Role.COORDINATOR)
        _check_ports(role, settings)
        raise SystemExit(_run(role, settings, ready_fd, lifeline_fd))

    return command


def _check_ports(role: Role, settings: Settings) -> None:
    """A clear line for each beats the log of a failed start: several roles on one machine start from the same
    defaults."""
    alone = (admin_port(settings), metrics_port(settings))
    looks = [partial(check_free, own.host, own.port, own.option) for own in alone]
    shared = shared_ports(settings, gateway=role is Role.GATEWAY, coordinator=role is Role.COORDINATOR)
    looks += [partial(check_shareable, own.host, own.port, own.option) for own in shared]
    failed = False
    for look in looks:
        try:
            look()
        except PortError as error:
            click.echo(f"error: {error}", err=True)
            failed = True
    if failed:
        raise SystemExit(1)


def _run(role: Role, settings: Settings, ready_fd: int | None, lifeline_fd: int | None) -> int:
    from iii_cluster.node.process import run_role  # roles import much that other commands do not need

    serve = importlib.import_module(SERVICES[role]).serve
    return run_role(role, settings, serve, ready_fd=ready_fd, lifeline_fd=lifeline_fd)


gateway, shard, coordinator = map(role_command, (Role.GATEWAY, Role.SHARD, Role.COORDINATOR))
