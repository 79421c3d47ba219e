"""Options of the commands that talk to a running cluster, and their way of failing."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from iii_cluster.access.trust import Trust
from iii_cluster.config.settings import WORKER_PORT

from .gateway import Gateway, Unreachable

F = TypeVar("F", bound=Callable[..., Any])

TRUST = ("tls", "ca_file", "cert_file", "key_file", "server_name")
_TLS_FILES = ("ca_file", "cert_file")  # who names one wants TLS


def _trust_options(variable: str) -> tuple[Callable[[Any], Any], ...]:
    return (
        click.option("--tls", is_flag=True, envvar=variable, show_envvar=True, help="Connect with TLS."),
        click.option(
            "--ca-file",
            default="",
            envvar="III_CLUSTER_CA_FILE",
            show_envvar=True,
            help="Who signed the other side's certificate (PEM), if the system does not trust it. Implies --tls.",
        ),
        click.option(
            "--client-cert",
            "cert_file",
            default="",
            envvar="III_CLUSTER_CLIENT_CERT",
            show_envvar=True,
            help="Certificate to show (PEM), where one is wanted. Implies --tls.",
        ),
        click.option(
            "--client-key",
            "key_file",
            default="",
            envvar="III_CLUSTER_CLIENT_KEY",
            show_envvar=True,
            help="Key of that certificate, if it is in another file.",
        ),
        click.option(
            "--server-name",
            default="",
            envvar="III_CLUSTER_SERVER_NAME",
            show_envvar=True,
            help="Name the other side's certificate must be for, if it is not the host's.",
        ),
    )


def trust_options(variable: str, *, implied: bool) -> Callable[[F], F]:
    """--tls (in the environment `variable`) and what goes with it, as the argument `trust`.

    `implied`: files that the environment names mean TLS, too, not only those of options.
    """

    def add(command: F) -> F:
        @functools.wraps(command)
        def wrapper(
            *args: Any, tls: bool, ca_file: str, cert_file: str, key_file: str, server_name: str, **kwargs: Any
        ) -> Any:
            if key_file and not cert_file:
                raise click.UsageError("--client-key has no effect without --client-cert")
            named = [name for name, file in zip(_TLS_FILES, (ca_file, cert_file), strict=True) if file]
            encrypted = tls or any(implied or _is_option(name) for name in named)
            return command(*args, trust=Trust(encrypted, ca_file, cert_file, key_file, server_name), **kwargs)

        for option in reversed(_trust_options(variable)):
            wrapper = option(wrapper)
        return wrapper  # type: ignore[return-value]

    return add


def first_given(names: Iterable[str]) -> str:
    """The first of these that stands on the command line, as its option is spelled; "" for none."""
    options = {param.name: param.opts[0] for param in click.get_current_context().command.params}
    return next((options[name] for name in names if _is_option(name)), "")


def _is_option(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


# III_CLUSTER_PORT would clash with what Kubernetes sets for a service of that name.
_ADDRESS_OPTIONS = (
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
)


def connection_options(command: F) -> F:
    """--address, --port and TLS of a gateway, as the argument `gateway`. The token comes from the environment alone:
    other users of the machine could read an option."""

    @functools.wraps(command)
    def inner(*args: Any, address: str, port: int, trust: Trust, **kwargs: Any) -> Any:
        return command(*args, gateway=Gateway(address, port, trust), **kwargs)

    wrapper = trust_options("III_CLUSTER_TLS", implied=True)(inner)
    for option in reversed(_ADDRESS_OPTIONS):
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
