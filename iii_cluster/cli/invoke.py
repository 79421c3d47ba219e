"""`iii-cluster invoke`: call one function and print what it returns."""

import json
from typing import Any

import click
import msgspec

from .client import DEFAULT_TIMEOUT, RemoteError, connected
from .connection import connection_options, one_line_errors
from .gateway import Gateway


@click.command()
@click.argument("function")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--data", "--json", "-d", "data", help="The argument, as JSON. KEY=VALUE pairs override its members.")
@click.option("--namespace", "-n", envvar="III_CLUSTER_NAMESPACE", show_envvar=True, help="Namespace of the function.")
@click.option(
    "--timeout-ms",
    type=click.IntRange(min=1),
    default=int(DEFAULT_TIMEOUT * 1000),
    show_default=True,
    envvar="III_CLUSTER_TIMEOUT_MS",
    show_envvar=True,
    help="Longest wait for the result.",
)
@connection_options
@one_line_errors
def invoke(
    function: str,
    pairs: tuple[str, ...],
    data: str | None,
    namespace: str | None,
    timeout_ms: int,
    gateway: Gateway,
) -> None:
    """Call FUNCTION and print its result as JSON, nothing for null; an error goes to stderr as JSON.

    The argument is {} unless given. A VALUE is taken as JSON where it is JSON, as text otherwise.
    """
    argument = payload(data, pairs)
    try:
        with connected(gateway) as client:
            result = client.invoke(function, argument, namespace, timeout_ms / 1000)
    except RemoteError as error:
        _fail(error.body)
    except TimeoutError as error:
        _fail({"code": "TIMEOUT", "message": str(error)})
    else:
        if result is not None:
            click.echo(json.dumps(result, indent=2, ensure_ascii=False))


def payload(data: str | None, pairs: tuple[str, ...]) -> Any:
    """The argument of the call. Raises click.UsageError in the words of the option at fault."""
    value: Any = {} if data is None else _json(data)
    if not pairs:
        return value
    if not isinstance(value, dict):
        raise click.UsageError("--data must be an object when combined with KEY=VALUE pairs")
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise click.UsageError(f"expected KEY=VALUE, got {pair!r}")
        value[key] = _json_or_text(text)
    return value


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise click.UsageError(f"--data: invalid JSON: {error}") from None


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _fail(body: dict[str, Any]) -> None:
    click.echo(json.dumps(body, indent=2, ensure_ascii=False), err=True)
    raise SystemExit(1)
