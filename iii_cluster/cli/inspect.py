"""`iii-cluster status|workers|functions|triggers`: what a running cluster says of itself."""

import json
import socket
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from iii_cluster.config.settings import ADMIN_PORT

from .admin import ask_admin
from .client import RemoteError, Unreachable, connected
from .connection import connection_options, one_line_errors

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

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


@click.command()
@click.option(
    "--admin",
    default=f"http://127.0.0.1:{ADMIN_PORT}",
    show_default=True,
    envvar="III_CLUSTER_ADMIN",
    show_envvar=True,
    help="Admin port of any node.",
)
@json_option
@one_line_errors
def status(admin: str, as_json: bool) -> None:
    """Show the nodes of the cluster, its leader, who owns which slots, and who is ready.

    Nodes on other machines serve their admin port to themselves: their readiness shows as "?".
    """
    admin = admin if "://" in admin else f"http://{admin}"
    code, cluster = ask_admin(admin, "/cluster")
    if code != 200 or not isinstance(cluster, dict) or "nodes" not in cluster:
        raise Unreachable(f"what answers at {admin} is not a node of a cluster")
    if not cluster["nodes"]:
        _, readiness = ask_admin(admin, "/readyz")
        reasons = readiness.get("reasons", []) if isinstance(readiness, dict) else []
        raise Unreachable(f"the node at {admin} has not joined a cluster: {'; '.join(reasons)}")
    nodes = [_with_readiness(node, cluster) for node in cluster["nodes"]]
    nodes.sort(key=lambda node: (node["role"], node["id"]))
    if as_json:
        facts = {key: cluster.get(key) for key in ("term", "epoch", "leader", "slots")}
        click.echo(json.dumps({**facts, "nodes": nodes}, indent=2))
        return
    click.echo(f"term {cluster['term']}, epoch {cluster['epoch']}, leader {cluster['leader'] or 'none'}")
    rows = [
        {
            **node,
            "ports": " ".join(f"{name}:{port}" for name, port in node["ports"].items()),
            "slots": node["slots"] or "",
            "ready": _ready_word(node),
        }
        for node in nodes
    ]
    _print_rows(rows, ("role", "id", "host", "pid", "ports", "slots", "ready"))


def _with_readiness(node: dict[str, Any], cluster: dict[str, Any]) -> dict[str, Any]:
    """The node with its number of slots, `ready` (None when it cannot be asked from here) and `reasons`."""
    ready: bool | None = None
    reasons: list[str] = []
    port = node.get("ports", {}).get("admin")
    if port and node.get("host") == socket.gethostname():
        try:
            code, body = ask_admin(f"http://127.0.0.1:{port}", "/readyz")
            ready, reasons = code == 200, list(body.get("reasons", []))
        except Unreachable as error:
            ready, reasons = False, [str(error)]
    slots = sum(last - first + 1 for first, last in cluster.get("slots", {}).get(node["id"], []))
    return {**node, "slots": slots, "ready": ready, "reasons": reasons}


def _ready_word(node: dict[str, Any]) -> str:
    if node["ready"] is None:
        return "?"
    return "yes" if node["ready"] else "no: " + "; ".join(node["reasons"])


def _list_command(name: str) -> click.Command:
    function, member, columns = LISTS[name]

    @click.command(name, help=f"List the {name} of the cluster.")
    @json_option
    @connection_options
    @one_line_errors
    def command(as_json: bool, address: str, worker_port: int) -> None:
        try:
            with connected(address, worker_port) as client:
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
            _print_rows(rows, columns)

    return command


workers = _list_command("workers")
functions = _list_command("functions")
triggers = _list_command("triggers")


def _print_rows(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """A table on a terminal, tab-separated lines elsewhere."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    console = Console()
    if not console.is_terminal:
        for line in [list(columns), *cells]:
            click.echo("\t".join(line))
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)


def _cell(value: object) -> str:
    """One line of text without control characters: names and descriptions are whatever workers say."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else " " for char in text)
