"""`iii-cluster status`: the nodes of a running cluster and how they are."""

from typing import Any

import click

from iii_cluster.cluster.slots import SLOTS

from .connection import one_line_errors
from .gateway import Unreachable
from .nodes import Admins, admin_options, slot_count
from .rows import json_lines, json_option, print_rows

EXIT_UNWELL = 1
SILENT = "does not answer"
COLUMNS = ("role", "id", "host", "pid", "ports", "slots", "ready")


@click.command()
@json_option
@one_line_errors
@admin_options
def status(admins: Admins, as_json: bool) -> None:
    """Show the nodes of the cluster, its leader, who owns how many slots, and who is ready, or why not.

    Nodes on other machines serve their admin port to themselves: their readiness shows as "?". Exits with 1 when a node
    is not ready, slots have no owner, or no coordinator leads.
    """
    _, cluster = admins.find()
    nodes = [_with_readiness(node, cluster, admins) for node in cluster["nodes"]]
    nodes.sort(key=lambda node: (node["role"], node["id"]))
    missing = _missing(cluster, nodes)
    if as_json:
        facts = {key: cluster.get(key) for key in ("term", "epoch", "leader", "slots")}
        click.echo(json_lines({**facts, "nodes": nodes}, levels=2))
    else:
        _print(cluster, nodes, missing)
    if missing or any(node["ready"] is False for node in nodes):
        raise SystemExit(EXIT_UNWELL)


def _print(cluster: dict[str, Any], nodes: list[dict[str, Any]], missing: list[str]) -> None:
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
    for line in missing:
        click.echo(line)


def _missing(cluster: dict[str, Any], nodes: list[dict[str, Any]]) -> list[str]:
    """What the cluster as a whole lacks, in sentences."""
    lines = []
    leader = next((node for node in nodes if node["id"] == cluster["leader"]), None)
    if leader is None:
        lines.append("no coordinator leads: no node can join, leave or be declared dead")
    elif any(reason.startswith(SILENT) for reason in leader["reasons"]):
        lines.append(f"the leader, {leader['id']}, does not answer")
    unowned = SLOTS - sum(slot_count(cluster, owner) for owner in cluster["slots"])
    if unowned:
        lines.append(f"{unowned} of {SLOTS} slots have no owner: a shard is missing")
    return lines


def _with_readiness(node: dict[str, Any], cluster: dict[str, Any], admins: Admins) -> dict[str, Any]:
    """The node with its number of slots, `ready` (None when it cannot be asked from here) and `reasons`."""
    ready: bool | None = None
    reasons: list[str] = []
    url = admins.of(node)
    if url is not None:
        ready, reasons = _readiness(admins, url, node["id"])
    elif node.get("draining"):
        ready, reasons = False, ["draining"]
    return {**node, "slots": slot_count(cluster, node["id"]), "ready": ready, "reasons": reasons}


def _readiness(admins: Admins, url: str, node: str) -> tuple[bool, list[str]]:
    """Whether this node is ready, or why not; the port of one that is dead may have gone to another one."""
    try:
        code, body = admins.ask(url, "/readyz")
    except Unreachable as error:
        return False, [f"{SILENT}: {error}"]
    answer = body if isinstance(body, dict) else {}
    if (other := answer.get("node", node)) != node:
        return False, [f"{SILENT}; {other} has its admin port"]
    return code == 200, list(answer.get("reasons", []))


def _ready_word(node: dict[str, Any]) -> str:
    if node["ready"] is None:
        return "?"
    return "yes" if node["ready"] else "no: " + "; ".join(node["reasons"])
