"""The nodes of a cluster, found through the admin port of any of them."""

import functools
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from iii_cluster.access.trust import Secured, Trust
from iii_cluster.config.fields import FIELDS
from iii_cluster.config.hosts import is_loopback
from iii_cluster.config.settings import ADMIN_PORT
from iii_cluster.protocol.credentials import refused, token_of

from .admin import TIMEOUT, Refused, Way, ask_admin
from .connection import TRUST, first_given, trust_options
from .gateway import Unreachable, secured

LOCAL_HOST = "127.0.0.1"
LOCAL_PORTS = 16  # looked at, from the first on: the process that had that one may have been drained
PORT_VARIABLE = FIELDS["admin_port"].variable

F = TypeVar("F", bound=Callable[..., Any])


class Joining(Unreachable):
    """A node answers that is not in a cluster yet."""


class Admins:
    """Admin ports of one cluster. `admin` is one of them: a port, host:port or URL; "" for the first found here."""

    def __init__(self, admin: str, trust: Trust) -> None:
        self.admin = admin_url(admin, trust) if admin else ""
        self.trust = trust
        self._token = token_of(os.environ)
        self._host = LOCAL_HOST  # where nodes of this machine listen

    def find(self) -> tuple[str, dict[str, Any]]:
        """URL of a node and the cluster it sees. Raises Unreachable."""
        if self.admin:
            cluster = self.cluster(self.admin)
            self._host = self._host_here(cluster)
            return self.admin, cluster
        ports = _local_ports()
        failure = Unreachable(f"no node answers on {LOCAL_HOST}:{ports[0]}-{ports[-1]}; is the cluster running?")
        for port in ports:
            try:
                url = f"{_scheme(self.trust)}://{LOCAL_HOST}:{port}"
                return url, self.cluster(url)
            except (Joining, Refused) as error:
                failure = error
            except Unreachable:
                continue
        raise failure

    def _host_here(self, cluster: dict[str, Any]) -> str:
        """That of the URL, as far as it leads to this machine: certificates are for it, and it need not be loopback."""
        host = urlsplit(self.admin).hostname or ""
        if not is_loopback(host):
            known = self.who_answers(self.admin)
            if not any(node["id"] == known and _is_here(node) for node in cluster["nodes"]):
                return LOCAL_HOST
        return f"[{host}]" if ":" in host else host

    def ask(self, url: str, path: str, post: dict[str, Any] | None = None, timeout: float = TIMEOUT) -> tuple[int, Any]:
        """As `ask_admin`. Raises Unreachable, also when files of `trust` are needed and cannot be used."""
        way = Way(self._secured if url.startswith("https:") else None, self._token)
        return ask_admin(url, path, post, timeout, way)

    @functools.cached_property
    def _secured(self) -> Secured:
        return secured(self.trust)

    def cluster(self, url: str) -> dict[str, Any]:
        """The cluster map as this node sees it; it has nodes. Raises Unreachable."""
        code, cluster = self.ask(url, "/cluster")
        if code == 401:
            raise Refused(refused(f"the admin port at {url}", os.environ))
        if code != 200 or not isinstance(cluster, dict) or "nodes" not in cluster:
            raise Unreachable(f"what answers at {url} is not a node of a cluster")
        if not cluster["nodes"]:
            _, readiness = self.ask(url, "/readyz")
            reasons = readiness.get("reasons", []) if isinstance(readiness, dict) else []
            raise Joining(f"the node at {url} has not joined a cluster: {'; '.join(reasons)}")
        return cluster

    def of(self, node: dict[str, Any]) -> str | None:
        """URL of a node's admin port; None when it cannot be asked from here."""
        port = node.get("ports", {}).get("admin")
        scheme = "https" if "admin" in node.get("tls", ()) else "http"
        return f"{scheme}://{self._host}:{port}" if port and _is_here(node) else None

    def who_answers(self, url: str) -> str:
        """Id of the node whose admin port this is now; "" when nobody answers, or not as a node does."""
        try:
            _, body = self.ask(url, "/readyz")
        except Unreachable:
            return ""
        return str(body.get("node", "")) if isinstance(body, dict) else ""


def _local_ports() -> range:
    """Those that `iii-cluster up` gives to its processes in this environment."""
    said = os.environ.get(PORT_VARIABLE, "")
    first = int(said) if said.isdecimal() and 0 < int(said) <= 65535 - LOCAL_PORTS else ADMIN_PORT
    return range(first, first + LOCAL_PORTS)


def admin_url(admin: str, trust: Trust) -> str:
    """Of what --admin may be: a URL, host:port, or a port of this machine."""
    if "://" in admin:
        return admin
    return f"{_scheme(trust)}://{LOCAL_HOST}:{admin}" if admin.isdecimal() else f"{_scheme(trust)}://{admin}"


def _scheme(trust: Trust) -> str:
    return "https" if trust.tls else "http"


def admin_options(command: F) -> F:
    """--admin and TLS of admin ports, as the argument `admins`.

    Files that the environment names are those of all ports: they do not say that this one has TLS.
    """

    @functools.wraps(command)
    def inner(*args: Any, admin: str, trust: Trust, **kwargs: Any) -> Any:
        if admin.startswith("http://") and (option := first_given(TRUST)):
            raise click.UsageError(
                f"{option} has no effect with http:// in --admin; write https:// or the address alone"
            )
        return command(*args, admins=Admins(admin, trust), **kwargs)

    wrapper = trust_options("III_CLUSTER_ADMIN_TLS", implied=False)(inner)
    option = click.option(
        "--admin",
        default="",
        envvar="III_CLUSTER_ADMIN",
        show_envvar=True,
        help=f"Admin port of any node: port, host:port or URL.  [default: the first here from {ADMIN_PORT} on]",
    )
    return option(wrapper)  # type: ignore[return-value]


def _is_here(node: dict[str, Any]) -> bool:
    return bool(node.get("host") == socket.gethostname())


def slot_count(cluster: dict[str, Any], node: str) -> int:
    return sum(last - first + 1 for first, last in cluster.get("slots", {}).get(node, []))
