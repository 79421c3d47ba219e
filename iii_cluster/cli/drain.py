"""`iii-cluster drain`: have one node leave the cluster gracefully."""

import time
from dataclasses import dataclass
from typing import Any

import click

from iii_cluster.cluster.map import Role

from .connection import one_line_errors
from .gateway import Unreachable
from .nodes import Admins, admin_options

REQUEST_TIMEOUT = 15.0  # s, as the request may have to be passed on
MARGIN = 20.0  # s beyond its timeout a node may take to leave
DEFAULT_WAIT = 300.0  # s we wait when the node's own timeout applies, which we do not know
INTERVAL = 0.2  # s between two looks
WITHOUT = {  # what is missing without any node of a role
    Role.GATEWAY: "workers would have nowhere to go",
    Role.SHARD: "its slots would have no owner",
    Role.COORDINATOR: "nobody would lead, so no node could join, leave or be declared dead",
}


@click.command()
@click.argument("node")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    help="Longest wait, in seconds, for calls in flight on the node.  [default: its own drain_timeout]",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when the node has left the cluster.")
@click.option("--force", is_flag=True, help="Drain it even if it is the last of its role.")
@one_line_errors
@admin_options
def drain(node: str, timeout: float | None, wait: bool, force: bool, admins: Admins) -> None:
    """Have NODE hand over what it does and end, without losing a call.

    NODE is an id as `iii-cluster status` shows it, or the beginning of a single one that goes beyond its role:
    gateway-3f, but not gateway.
    """
    url, cluster = admins.find()
    target = _pick(cluster["nodes"], node)
    if not force and _is_last(target, cluster):
        role = target["role"]
        raise Unreachable(
            f"{target['id']} is the last {role}: {WITHOUT[role]}; --force drains it all the same",
        )
    own = admins.who_answers(url) == target["id"]
    grace = _request(admins, url, target["id"], timeout)
    click.echo(f"{target['id']}: draining", err=True)
    if wait:
        waiting = Waiting.of(admins, url, cluster, target, own)
        click.echo(_wait(waiting, DEFAULT_WAIT if grace is None else grace + MARGIN))


def _is_last(target: dict[str, Any], cluster: dict[str, Any]) -> bool:
    """No other node of its role stays."""
    return not any(
        node["role"] == target["role"] and node["id"] != target["id"] and not node.get("draining")
        for node in cluster["nodes"]
    )


def _pick(nodes: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    """The node with this id, or the only one whose id begins so. Raises Unreachable otherwise."""
    begun = [node for node in nodes if node["id"].startswith(wanted)]
    found = [node for node in nodes if node["id"] == wanted] or [
        node for node in begun if len(wanted) > len(f"{node['role']}-")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        what = f"{wanted} is ambiguous"
    elif begun:
        what = f"{wanted!r} names no more than a role"
    else:
        what = f"no node {wanted} is in the cluster"
    raise Unreachable(f"{what}; choose one of: {', '.join(sorted(node['id'] for node in begun or nodes))}")


def _request(admins: Admins, url: str, node: str, timeout: float | None) -> float | None:
    """Seconds the node takes for calls in flight, None when it did not say."""
    request = {"node": node} if timeout is None else {"node": node, "timeout": timeout}
    code, body = admins.ask(url, "/drain", post=request, timeout=REQUEST_TIMEOUT)
    answer = body if isinstance(body, dict) else {}
    if code != 202:
        raise Unreachable(f"{node} is not drained: {answer.get('error') or f'HTTP status {code}'}")
    return answer.get("timeout", timeout)


@dataclass(frozen=True)
class Waiting:
    """How the end of a drain is seen."""

    admins: Admins
    node: str
    admin: str | None  # the node's own admin port, if it is on this machine
    urls: list[str]  # who is asked for the map, the node itself last
    unwritten: bool  # nobody is left who takes the node out of the map

    @classmethod
    def of(cls, admins: Admins, url: str, cluster: dict[str, Any], target: dict[str, Any], own: bool) -> "Waiting":
        """`own`: `url` is the admin port of the node that leaves."""
        admin = admins.of(target) or (url if own else None)
        others = [other for node in cluster["nodes"] if node["id"] != target["id"] and (other := admins.of(node))]
        urls = list(dict.fromkeys([*others, url]))
        last_writer = target["role"] == Role.COORDINATOR and _is_last(target, cluster)
        return cls(admins, target["id"], admin, urls, last_writer or (own and not others))

    def first_answer(self) -> dict[str, Any] | None:
        """The map as one of them sees it."""
        for url in self.urls:
            try:
                return self.admins.cluster(url)
            except Unreachable:
                continue
        return None


def _wait(waiting: Waiting, within: float) -> str:
    """Returns how it ended. Raises Unreachable when it takes too long."""
    node = waiting.node
    if waiting.unwritten and waiting.admin is None:
        return f"{node} leaves; no coordinator is left to tell when it has, its own host knows"
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if waiting.unwritten and waiting.admin is not None:
            if waiting.admins.who_answers(waiting.admin) != node:
                return f"{node} has ended"
        elif (seen := waiting.first_answer()) is not None and all(one["id"] != node for one in seen["nodes"]):
            return f"{node} has left the cluster"
        time.sleep(INTERVAL)
    raise Unreachable(f"{node} did not leave the cluster within {within:g} s; it goes on draining")
