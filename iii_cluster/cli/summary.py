"""The summary `iii-cluster up` prints once everything is ready."""

import asyncio
from typing import Any

from iii_cluster.config.ports import CONSOLE, console_port, ports_of_gateway
from iii_cluster.config.redact import redact_urls
from iii_cluster.config.settings import ADMIN_PORT, WORKER_PORT, Settings, Tls
from iii_cluster.local.child import Ready

from .gateway import Unreachable
from .nodes import slot_count
from .own import ask_own, own_url, reachable
from .screen import Screen


async def print_summary(
    screen: Screen, settings: Settings, nodes: list[Ready], embedded: bool, console_token: str = ""
) -> None:
    """Who runs where, who leads, and how to connect. `nodes` are what was started here; `console_token` was made up
    for whoever reads this."""
    admin = nodes[0].ports.get("admin", 0)
    cluster = await asyncio.to_thread(_cluster, settings, admin)
    leader = cluster.get("leader", "")
    rows = []
    for node in nodes:
        slots = slot_count(cluster, node.id)
        remarks = [f"{slots} slots"] if slots else []
        remarks += ["leader"] if node.id == leader else []
        ports = " ".join(f"{name}:{port}" for name, port in sorted(node.ports.items()))
        rows.append((node.role, node.id, f"pid {node.pid}", ports, ", ".join(remarks)))
    screen.table(("role", "node", "process", "ports", ""), rows)
    facts = _facts(
        settings, nodes, leader, own_url(settings, admin), embedded, _console(settings, nodes, console_token)
    )
    screen.facts(facts)


def _facts(
    settings: Settings, nodes: list[Ready], leader: str, admin: str, embedded: bool, console: str
) -> dict[str, str]:
    facts = {
        "leader": leader or "unknown",
        "redis": redact_urls(settings.redis_urls) + (" (embedded Valkey)" if embedded else ""),
    }
    ports = [node.ports["worker"] for node in nodes if "worker" in node.ports]
    if ports:
        main = settings.worker_listeners[0]
        own = {one.name: one for one in ports_of_gateway(settings)}
        tls = own["worker"].tls
        url = f"ws{_s(tls)}://{reachable(settings.host)}:{ports[0]}"
        host = reachable(settings.host).strip("[]")
        where = "" if host == "127.0.0.1" else f" --address {host}"
        where += "" if ports[0] == WORKER_PORT else f" --port {ports[0]}"
        facts["workers"] = f"connect to {url}"
        http = next((node.ports["http"] for node in nodes if "http" in node.ports), None)
        if http is not None:
            facts["http"] = f"routes at http{_s(own['http'].tls)}://{reachable(own['http'].host)}:{http}"
        streams = next((node.ports["stream"] for node in nodes if "stream" in node.ports), None)
        if streams is not None:
            address = f"ws{_s(own['stream'].tls)}://{reachable(own['stream'].host)}:{streams}"
            facts["streams"] = f"clients connect to {address}"
        token = "III_TOKEN=... " if any(settings.tokens_of(main)) else ""
        trust = "SSL_CERT_FILE=FILE " if tls is not None else ""
        facts["try"] = f"{token}{trust}III_URL={url} python my_worker.py"
        facts[""] = f"{token}iii-cluster invoke my::function --data '{{}}'{where}{_tls_options(tls)}"
    if console:
        facts["console"] = console
    option = "" if admin == f"http://127.0.0.1:{ADMIN_PORT}" else f" --admin {admin}"
    token = "III_TOKEN=... " if any(settings.admin_tokens) else ""
    facts["status"] = f"{token}iii-cluster status{option}{_tls_options(settings.admin_tls)}"
    return facts


def _console(settings: Settings, nodes: list[Ready], token: str) -> str:
    """Its address, "" if there is none. A token in the fragment is sent to nobody."""
    port = next((node.ports[CONSOLE] for node in nodes if CONSOLE in node.ports), None)
    if port is None:
        return ""
    own = console_port(settings)
    url = f"http{_s(own.tls)}://{reachable(own.host)}:{port}/"
    if token:
        return f"{url}#token={token}"
    return url if settings.console_tokens or settings.console_tokens_file else f"{url} (read-only)"


def _s(tls: Tls | None) -> str:
    return "s" if tls is not None else ""


def _tls_options(tls: Tls | None) -> str:
    """FILE is for the reader to fill in: who signed the certificate is not in the settings."""
    if tls is None:
        return ""
    return " --tls --ca-file FILE" + (" --client-cert FILE --client-key FILE" if tls.client_ca_file else "")


def _cluster(settings: Settings, port: int) -> dict[str, Any]:
    try:
        _, body = ask_own(settings, port, "/cluster", ready=True)
    except Unreachable:
        return {}
    return body if isinstance(body, dict) else {}
