"""`iii-cluster drain`: have one node leave the cluster gracefully."""

import time
from typing import Any

import click

from .admin import admin_of, admin_option, ask_admin, ask_cluster, find_cluster, slot_count
from .client import Unreachable
from .connection import one_line_errors

SHORTEST_TAG = 4  # characters after the role; "gateway-1" is what `iii-cluster up` calls a process, not an id
REQUEST_TIMEOUT = 15.0  # s, as the request may have to be passed on
MARGIN = 20.0  # s beyond its timeout a node may take to leave
DEFAULT_WAIT = 300.0  # s we wait when the node's own timeout applies, which we do not know
INTERVAL = 0.2  # s between two looks


@click.command()
@click.argument("node")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    help="Longest wait, in seconds, for calls in flight on the node.  [default: its own drain_timeout]",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when the node has left the cluster.")
@admin_option
@one_line_errors
def drain(node: str, timeout: float | None, wait: bool, admin: str | None) -> None:
    """Have NODE hand over what it does and end, without losing a call.

    NODE is an id as `iii-cluster status` shows it, or the beginning of one.
    """
    url, cluster = find_cluster(admin)
    target = _pick(cluster["nodes"], node)
    _request(url, target["id"], timeout)
    click.echo(f"{target['id']} drains", err=True)
    if wait:
        _wait(url, cluster, target, DEFAULT_WAIT if timeout is None else timeout + MARGIN)
        click.echo(f"{target['id']} has left the cluster")


def _pick(nodes: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    """The node with this id, or the only one whose id begins so. Raises Unreachable otherwise."""
    found = [node for node in nodes if node["id"] == wanted] or [
        node for node in nodes if node["id"].startswith(wanted) and _is_beginning(wanted, node["role"])
    ]
    if len(found) == 1:
        return found[0]
    what = f"{wanted} is ambiguous" if found else f"no node {wanted} is in the cluster"
    raise Unreachable(f"{what}; choose one of: {', '.join(sorted(node['id'] for node in found or nodes))}")


def _is_beginning(wanted: str, role: str) -> bool:
    return bool(wanted) and (f"{role}-".startswith(wanted) or len(wanted) >= len(role) + 1 + SHORTEST_TAG)


def _request(url: str, node: str, timeout: float | None) -> None:
    request = {"node": node} if timeout is None else {"node": node, "timeout": timeout}
    code, body = ask_admin(url, "/drain", post=request, timeout=REQUEST_TIMEOUT)
    if code != 202:
        reason = body.get("error") if isinstance(body, dict) else None
        raise Unreachable(f"{node} is not drained: {reason or f'HTTP status {code}'}")


def _wait(url: str, cluster: dict[str, Any], target: dict[str, Any], within: float) -> None:
    """Returns when the node is in nobody's map; tells of every change. Raises Unreachable when it takes too long."""
    others = [admin for node in cluster["nodes"] if node["id"] != target["id"] and (admin := admin_of(node))]
    alone = not others and url == admin_of(target)  # nobody else can be asked: it is gone when it is silent
    urls = list(dict.fromkeys([*others, *([] if url == admin_of(target) else [url])])) or [url]
    deadline = time.monotonic() + within
    told = ""
    while time.monotonic() < deadline:
        seen = _first_answer(urls)
        if seen is None and alone:
            return
        if seen is not None:
            state = _state(seen, target["id"])
            if not state:
                return
            if state != told:
                told = state
                click.echo(f"{target['id']}: {state}", err=True)
        time.sleep(INTERVAL)
    raise Unreachable(f"{target['id']} did not leave the cluster within {within:g} s; it goes on draining")


def _first_answer(urls: list[str]) -> dict[str, Any] | None:
    for url in urls:
        try:
            return ask_cluster(url)
        except Unreachable:
            continue
    return None


def _state(cluster: dict[str, Any], node: str) -> str:
    """What the cluster says of the node; "" when it does not know it any more."""
    for one in cluster["nodes"]:
        if one["id"] == node:
            slots = slot_count(cluster, node)
            return ("draining" if one.get("draining") else "asked to drain") + (
                f", {slots} slots left" if slots else ""
            )
    return ""
