"""Command line options for every setting, and the way from options to a loaded configuration."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from iii_cluster.config.errors import InvalidConfig
from iii_cluster.config.fields import FIELDS, Field, choices
from iii_cluster.config.load import Config, load
from iii_cluster.config.settings import Settings, Topology

EXIT_INVALID = 2  # like click's for a wrong option

HELP = {
    "cluster": "Name of the cluster: prefix of its keys and channels in Redis.",
    "redis_urls": "Redis or Valkey; may be repeated or hold several, joined by commas.",
    "host": "Address the listeners for workers and clients bind to.",
    "worker_port": "Port workers connect to. 0: any free port.",
    "http_port": "Port of the HTTP module. 0: any free port.",
    "stream_port": "Port stream clients connect to. 0: any free port.",
    "admin_host": "Address health and status are served on.",
    "admin_port": "Port health and status are served on. 0: any free port.",
    "duplicate_functions": "What happens when several workers register one function.",
    "lease_ttl": "Seconds without renewal after which a node is declared dead.",
    "lease_interval": "Seconds between renewals of a node's lease.",
    "barrier": "Longest hold, in seconds, of lookups in a slot that changed hands.",
    "drain_timeout": "Longest wait, in seconds, for calls in flight at shutdown.",
    "reattach_window": "Seconds a worker that lost its connection may take to come back for its calls.",
    "handler_timeout": "Longest wait, in seconds, of a module for a function it calls.",
    "redis_outage_limit": "Longest wait, in seconds, for Redis before remote calls fail.",
    "handshake_timeout": "Seconds a client has to complete its handshake.",
    "ping_interval": "Seconds between pings to a worker.",
    "ping_timeout": "Seconds a worker has to answer a ping.",
    "max_message_bytes": "Largest message accepted from a worker.",
    "max_frame_bytes": "Largest frame accepted from a worker or sent to one.",
    "max_connections": "Worker sockets of one gateway.",
    "handshake_rate": "New connections a gateway serves per second; more wait for their turn.",
    "max_registrations": "Functions and triggers of one worker.",
    "send_high_water": "Bytes queued for one worker before its callers are paused.",
    "stall_timeout": "Seconds a congested worker may read nothing before it is cut off.",
    "max_messages_per_second": "Messages of one worker per second; it is read more slowly beyond. 0: no limit.",
    "max_in_flight": "Calls of one worker that wait for their answers. 0: no limit.",
    "max_cluster_connections": "Worker sockets of all gateways together. 0: no limit.",
    "max_cluster_registrations": "Functions and triggers of all workers together. 0: no limit.",
    "max_cluster_in_flight": "Calls of all workers together that wait for their answers. 0: no limit.",
    "compression": "Whose sockets may be compressed (permessage-deflate).",
    "tokens_file": "File of tokens, one per line: workers must show one of them.",
    "tls_cert_file": "Certificate chain (PEM): listeners for workers and clients use TLS.",
    "tls_key_file": "Key of the certificate (PEM), if it is in a file of its own.",
    "tls_client_ca_file": "Authorities (PEM) that must have signed the certificates of clients.",
    "admin_tls_cert_file": "Certificate chain (PEM): the admin port uses TLS.",
    "admin_tls_key_file": "Key of that certificate (PEM), if it is in a file of its own.",
    "admin_tls_client_ca_file": "Authorities (PEM) that must have signed the certificates of who asks the admin port.",
    "metrics_host": "Address metrics are served on; as --admin-host when it is not given.",
    "metrics_port": "Port metrics are served on, for Prometheus. 0: any free port.",
    "console": "Whether coordinators serve the console.",
    "console_host": "Address the console is served on.",
    "console_port": "Port the console is served on. 0: any free port.",
    "console_tokens_file": "File of tokens, one per line: who shows one may change things in the console.",
    "log_format": "How log lines are written.",
    "log_level": "Least severe log lines that are written.",
    "gateways": "Gateways to run.",
    "shards": "Shards to run.",
    "coordinators": "Coordinators to run.",
    "redis_port": "Port of the embedded Valkey. 0: any free port.",
    "data_dir": "Directory of `iii-cluster up` on this machine: the embedded Valkey's data, and how to reach `up`.",
}

_DEFAULTS = {info.name: info.default for struct in (Settings, Topology) for info in msgspec.structs.fields(struct)}

F = TypeVar("F", bound=Callable[..., Any])


def setting_options(names: Iterable[str]) -> Callable[[F], F]:
    """An option per setting, None (or empty) unless given: the file and the environment are looked at later."""

    def add(command: F) -> F:
        for name in reversed(list(names)):
            command = _option(FIELDS[name])(command)
        return command

    return add


def config_option(command: F) -> F:
    return click.option(
        "--config",
        "-c",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="III_CLUSTER_CONFIG",
        show_envvar=True,
        help="Configuration file; the environment and options override it.",
    )(command)


def load_config(config_file: Path | None, flags: dict[str, Any], notices: bool = True) -> Config:
    """The configuration of this command; prints notices (if wanted), or every error and ends the process."""
    try:
        config = load(config_file, os.environ, flags)
    except InvalidConfig as invalid:
        for error in invalid.errors:
            click.echo(f"error: {error}", err=True)
        raise SystemExit(EXIT_INVALID) from None
    for notice in config.notices if notices else ():
        click.echo(f"notice: {notice}", err=True)
    return config


def _option(field: Field) -> Callable[[F], F]:
    words = choices(field.type)
    default = _DEFAULTS[field.name]
    shown = "" if field.name == "redis_urls" else f"default: {default}; "
    return click.option(
        field.flag,
        field.name,
        type=click.Choice(words) if words else _click_type(field),
        default=None,
        multiple=field.name == "redis_urls",
        help=f"{HELP[field.name]}  [{shown}env var: {field.variable}]",
    )


def _click_type(field: Field) -> "click.ParamType[Any]":
    if not field.is_number:
        return click.STRING
    return click.FLOAT if isinstance(_DEFAULTS[field.name], float) else click.INT
