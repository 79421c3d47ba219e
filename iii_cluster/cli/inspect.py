"""`iii-cluster workers|functions|triggers`: who is connected to a running cluster, and with what."""

import json

import click

from .client import RemoteError, connected
from .connection import connection_options, one_line_errors
from .gateway import Gateway, Unreachable
from .rows import json_option, print_rows

LISTS = {
    "workers": (
        "engine::workers::list",
        "workers",
        ("name", "id", "namespace", "runtime", "version", "gateway", "function_count"),
    ),
    "functions": ("engine::functions::list", "functions", ("function_id", "namespace", "worker_name", "description")),
    "triggers": (
        "engine::registered-triggers::list",
        "registered_triggers",
        ("id", "trigger_type", "function_id", "worker_name", "state", "config_summary"),
    ),
}


def _list_command(name: str) -> click.Command:
    function, member, columns = LISTS[name]

    @click.command(name, help=f"List the {name} of the cluster.")
    @json_option
    @connection_options
    @one_line_errors
    def command(as_json: bool, gateway: Gateway) -> None:
        try:
            with connected(gateway) as client:
                result = client.invoke(function, {})
        except (RemoteError, TimeoutError) as error:
            raise Unreachable(str(error)) from None
        answer = result if isinstance(result, dict) else {}
        rows = answer.get(member, [])
        if answer.get("partial"):
            missing = ", ".join(map(str, answer.get("missing_nodes", [])))
            click.echo(f"warning: the list is incomplete, these nodes did not answer: {missing}", err=True)
        if as_json:
            click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        else:
            print_rows(rows, columns)

    return command


workers = _list_command("workers")
functions = _list_command("functions")
triggers = _list_command("triggers")
