"""`iii-cluster status`: the nodes of a running cluster and how they are."""

from typing import Any

import click

from .admin import admin_of, admin_option, ask_admin, find_cluster, slot_count
from .client import Unreachable
from .connection import one_line_errors
from .rows import json_lines, json_option, print_rows

COLUMNS = ("role", "id", "host", "pid", "ports", "slots", "ready")


@click.command()
@admin_option
@json_option
@one_line_errors
def status(admin: str | None, as_json: bool) -> None:
    """Show the nodes of the cluster, its leader, who owns how many slots, and who is ready, or why not.

    Nodes on other machines serve their admin port to themselves: their readiness shows as "?".
    """
    _, cluster = find_cluster(admin)
    nodes = [_with_readiness(node, cluster) for node in cluster["nodes"]]
    nodes.sort(key=lambda node: (node["role"], node["id"]))
    if as_json:
        facts = {key: cluster.get(key) for key in ("term", "epoch", "leader", "slots")}
        click.echo(json_lines({**facts, "nodes": nodes}, levels=2))
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
    print_rows(rows, COLUMNS)


def _with_readiness(node: dict[str, Any], cluster: dict[str, Any]) -> dict[str, Any]:
    """The node with its number of slots, `ready` (None when it cannot be asked from here) and `reasons`."""
    ready: bool | None = None
    reasons: list[str] = []
    url = admin_of(node)
    if url is not None:
        try:
            code, body = ask_admin(url, "/readyz")
            ready, reasons = code == 200, list(body.get("reasons", []))
        except Unreachable as error:
            ready, reasons = False, [str(error)]
    elif node.get("draining"):
        ready, reasons = False, ["draining"]
    return {**node, "slots": slot_count(cluster, node["id"]), "ready": ready, "reasons": reasons}


def _ready_word(node: dict[str, Any]) -> str:
    if node["ready"] is None:
        return "?"
    return "yes" if node["ready"] else "no: " + "; ".join(node["reasons"])
