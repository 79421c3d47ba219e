"""Options of the commands that talk to a running cluster, and their way of failing."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from iii_cluster.config.settings import WORKER_PORT

from .gateway import Gateway, Unreachable

F = TypeVar("F", bound=Callable[..., Any])

# III_CLUSTER_PORT would clash with what Kubernetes sets for a service of that name.
_OPTIONS = (
    click.option(
        "--address",
        default="127.0.0.1",
        show_default=True,
        envvar="III_CLUSTER_ADDRESS",
        show_envvar=True,
        help="Host of a gateway.",
    ),
    click.option(
        "--port",
        type=click.IntRange(1, 65535),
        default=WORKER_PORT,
        show_default=True,
        envvar="III_CLUSTER_WORKER_PORT",
        show_envvar=True,
        help="Port workers connect to.",
    ),
    click.option("--tls", is_flag=True, envvar="III_CLUSTER_TLS", show_envvar=True, help="Connect with TLS."),
    click.option(
        "--ca-file",
        default="",
        envvar="III_CLUSTER_CA_FILE",
        show_envvar=True,
        help="Who signed the gateway's certificate (PEM), if the system does not trust it. Implies --tls.",
    ),
    click.option(
        "--client-cert",
        "cert_file",
        default="",
        envvar="III_CLUSTER_CLIENT_CERT",
        show_envvar=True,
        help="Certificate to show to the gateway (PEM), where it wants one.",
    ),
    click.option(
        "--client-key",
        "key_file",
        default="",
        envvar="III_CLUSTER_CLIENT_KEY",
        show_envvar=True,
        help="Key of that certificate, if it is in another file.",
    ),
)


def connection_options(command: F) -> F:
    """--address, --port and TLS of a gateway, as the argument `gateway`. The token comes from the environment alone:
    other users of the machine could read an option."""

    @functools.wraps(command)
    def wrapper(
        *args: Any, address: str, port: int, tls: bool, ca_file: str, cert_file: str, key_file: str, **kwargs: Any
    ) -> Any:
        return command(*args, gateway=Gateway(address, port, tls, ca_file, cert_file, key_file), **kwargs)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]


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
