"""Options of the commands that talk to a running cluster, and their way of failing."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from iii_cluster.config.settings import WORKER_PORT

from .client import Unreachable

F = TypeVar("F", bound=Callable[..., Any])


def connection_options(command: F) -> F:
    """--address and --port of a gateway. (III_CLUSTER_PORT would clash with what Kubernetes sets for a service.)"""
    command = click.option(
        "--port",
        "worker_port",
        type=click.IntRange(1, 65535),
        default=WORKER_PORT,
        show_default=True,
        envvar="III_CLUSTER_WORKER_PORT",
        show_envvar=True,
        help="Port workers connect to.",
    )(command)
    return click.option(
        "--address",
        default="127.0.0.1",
        show_default=True,
        envvar="III_CLUSTER_ADDRESS",
        show_envvar=True,
        help="Host of a gateway.",
    )(command)


def one_line_errors(command: F) -> F:
    """A cluster that does not answer is one line on stderr and exit code 1."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except Unreachable as error:
            click.echo(f"error: {error}", err=True)
            raise SystemExit(1) from None

    return wrapper  # type: ignore[return-value]
