"""From a configuration to the processes of a cluster on this machine, with every port known beforehand."""

import os
import sys
from collections.abc import Collection, Iterator

import msgspec

from iii_cluster.cluster.map import Role
from iii_cluster.config.fields import DOCUMENTS, FIELDS, TOKEN_VARIABLE
from iii_cluster.config.load import Config, to_environment
from iii_cluster.config.ports import Listening, admin_port, metrics_port, shared_ports
from iii_cluster.config.settings import Settings

from .child import ChildSpec
from .ports import check_free, spare_port

ADMIN_PORT_VARIABLE = FIELDS["admin_port"].variable
METRICS_PORT_VARIABLE = FIELDS["metrics_port"].variable

# Stopped in this order: who serves workers first, who keeps the data last.
STAGES = {Role.GATEWAY: 0, Role.SHARD: 1, Role.COORDINATOR: 2}
VALKEY_STAGE = 3


class PlanError(Exception):
    """The numbers of processes make no cluster."""


def check_counts(config: Config) -> None:
    """Raises PlanError for what could never get ready."""
    counts = config.topology
    if not counts.gateways + counts.shards + counts.coordinators:
        raise PlanError("nothing to run: --gateways, --shards and --coordinators are all 0")
    if not config.settings.redis_urls and not (counts.shards and counts.coordinators):
        raise PlanError("--shards and --coordinators must be at least 1 unless --redis-url names a running cluster's")


def role_specs(config: Config, settings: Settings) -> list[ChildSpec]:
    """One child per process; `settings` are final except for the ports each has for itself. Raises PortError."""
    specs = []
    for position, (role, number) in enumerate(_processes(config)):
        ports = {one.setting: _own_port(one, position) for one in _own_ports(settings)}
        own = to_environment(msgspec.structs.replace(settings, **ports))
        specs.append(
            ChildSpec(
                name=f"{role}-{number}",
                # -P: a folder called gateway or shard where the user stands is none of ours.
                argv=(sys.executable, "-P", "-m", "iii_cluster.cli.main", str(role)),
                env=_inherited() | own,
                stage=STAGES[role],
            )
        )
    return specs


def replacement(spec: ChildSpec, settings: Settings, running: Collection[ChildSpec]) -> ChildSpec:
    """What runs next to `spec`'s process and then in its place: the same with spare ports of its own. Raises
    PortError."""
    chosen = [one for one in _own_ports(settings) if one.port]
    if not chosen:
        return spec
    # Held ports that nobody listens on look free to others of the same user.
    used = {port for other in running for port in _own_numbers(other)}
    used |= {one.port for one in shared_ports(settings, gateway=True, coordinator=True)}
    env = dict(spec.env)
    for one in chosen:
        port = spare_port(one.host, one.port, used, one.option)
        used.add(port)
        env[FIELDS[one.setting].variable] = str(port)
    return msgspec.structs.replace(spec, env=env)


def admin_port_of(spec: ChildSpec) -> int:
    """The admin port of one of our own processes as planned; 0: any."""
    return int(spec.env[ADMIN_PORT_VARIABLE])


def _own_ports(settings: Settings) -> list[Listening]:
    """That every process has for itself."""
    return [admin_port(settings), metrics_port(settings)]


def _own_numbers(spec: ChildSpec) -> set[int]:
    return {int(spec.env[variable]) for variable in (ADMIN_PORT_VARIABLE, METRICS_PORT_VARIABLE)}


def _processes(config: Config) -> Iterator[tuple[Role, int]]:
    counts = config.topology
    for role, count in (
        (Role.GATEWAY, counts.gateways),
        (Role.SHARD, counts.shards),
        (Role.COORDINATOR, counts.coordinators),
    ):
        for number in range(1, count + 1):
            yield role, number


def _own_port(own: Listening, position: int) -> int:
    """The configured port for the first process, the following ones for the others; 0 stays 0."""
    port = own.port + position if own.port else 0
    check_free(own.host, port, own.option)
    return port


def _inherited() -> dict[str, str]:
    """Our environment without what is meant for this command itself."""
    own = {field.variable for field in FIELDS.values()} | {*DOCUMENTS.values(), TOKEN_VARIABLE, "III_CLUSTER_CONFIG"}
    return {name: value for name, value in os.environ.items() if name not in own}
