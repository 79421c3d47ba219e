"""The summary `iii-cluster up` prints once everything is ready."""

import asyncio
from typing import Any

from iii_cluster.config.redact import redact_urls
from iii_cluster.config.settings import ADMIN_PORT, WORKER_PORT, Settings
from iii_cluster.local.child import Ready

from .admin import ask_admin, slot_count
from .gateway import Unreachable
from .screen import Screen

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}


async def print_summary(screen: Screen, settings: Settings, nodes: list[Ready], embedded: bool) -> None:
    """Who runs where, who leads, and how to connect. `nodes` are what was started here."""
    admin = _admin_url(settings, nodes[0])
    cluster = await asyncio.to_thread(_cluster, admin)
    leader = cluster.get("leader", "")
    rows = []
    for node in nodes:
        slots = slot_count(cluster, node.id)
        remarks = [f"{slots} slots"] if slots else []
        remarks += ["leader"] if node.id == leader else []
        ports = " ".join(f"{name}:{port}" for name, port in sorted(node.ports.items()))
        rows.append((node.role, node.id, f"pid {node.pid}", ports, ", ".join(remarks)))
    screen.table(("role", "node", "process", "ports", ""), rows)
    screen.facts(_facts(settings, nodes, leader, admin, embedded))


def _facts(settings: Settings, nodes: list[Ready], leader: str, admin: str, embedded: bool) -> dict[str, str]:
    facts = {
        "leader": leader or "unknown",
        "redis": redact_urls(settings.redis_urls) + (" (embedded Valkey)" if embedded else ""),
    }
    ports = [node.ports["worker"] for node in nodes if "worker" in node.ports]
    if ports:
        tls = "s" if settings.tls is not None else ""
        url = f"ws{tls}://{reachable(settings.host)}:{ports[0]}"
        port = "" if ports[0] == WORKER_PORT else f" --port {ports[0]}"
        facts["workers"] = f"connect to {url}"
        http = next((node.ports["http"] for node in nodes if "http" in node.ports), None)
        if http is not None:
            facts["http"] = f"routes at http{tls}://{reachable(settings.host)}:{http}"
        streams = next((node.ports["stream"] for node in nodes if "stream" in node.ports), None)
        if streams is not None:
            facts["streams"] = f"clients connect to ws{tls}://{reachable(settings.host)}:{streams}"
        facts["try"] = f"III_URL={url} python my_worker.py"
        facts[""] = f"iii-cluster invoke my::function --data '{{}}'{port}"
    option = "" if admin == f"http://127.0.0.1:{ADMIN_PORT}" else f" --admin {admin}"
    facts["status"] = f"iii-cluster status{option}"
    return facts


def _cluster(admin: str) -> dict[str, Any]:
    try:
        _, body = ask_admin(admin, "/cluster")
    except Unreachable:
        return {}
    return body if isinstance(body, dict) else {}


def _admin_url(settings: Settings, node: Ready) -> str:
    return f"http://{reachable(settings.admin_host)}:{node.ports.get('admin', 0)}"


def reachable(host: str) -> str:
    """A host to connect to for one that is listened on, as it stands in a URL."""
    host = WILDCARDS.get(host, host)
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
