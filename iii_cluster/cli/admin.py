"""Asking the admin port of a node, and finding one to ask."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

import click

from iii_cluster.config.settings import ADMIN_PORT

from .gateway import Unreachable

TIMEOUT = 3.0  # seconds
LOCAL_PORTS = range(ADMIN_PORT, ADMIN_PORT + 16)  # the process that had the first one may have been drained

# Admin ports are on this machine or next to it: no proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

F = TypeVar("F", bound=Callable[..., Any])


class Joining(Unreachable):
    """A node answers that is not in a cluster yet."""


def admin_option(command: F) -> F:
    return click.option(
        "--admin",
        envvar="III_CLUSTER_ADMIN",
        show_envvar=True,
        help=f"Admin port of any node: port, host:port or URL.  [default: the first here from {ADMIN_PORT} on]",
    )(command)


def ask_admin(
    base_url: str, path: str, post: dict[str, Any] | None = None, timeout: float = TIMEOUT
) -> tuple[int, Any]:
    """HTTP status and JSON body of GET `path`, or of POST with a body; raises Unreachable."""
    request = urllib.request.Request(base_url.rstrip("/") + path)
    if post is not None:
        request.data = json.dumps(post).encode()
        request.add_header("content-type", "application/json")
    try:
        with _opener.open(request, timeout=timeout) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json_of(error)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unreachable(f"no admin port answers at {base_url}: {reason}") from None


def find_cluster(admin: str | None) -> tuple[str, dict[str, Any]]:
    """URL of a node and the cluster it sees; without `admin` a node on this machine is looked for.

    Raises Unreachable.
    """
    if admin is not None:
        url = _url(admin)
        return url, ask_cluster(url)
    failure = Unreachable(f"no node answers on 127.0.0.1:{LOCAL_PORTS[0]}-{LOCAL_PORTS[-1]}; is the cluster running?")
    for port in LOCAL_PORTS:
        try:
            url = f"http://127.0.0.1:{port}"
            return url, ask_cluster(url)
        except Joining as error:
            failure = error
        except Unreachable:
            continue
    raise failure


def _url(admin: str) -> str:
    """Of what --admin may be: a URL, host:port, or a port of this machine."""
    if admin.isdecimal():
        return f"http://127.0.0.1:{admin}"
    return admin if "://" in admin else f"http://{admin}"


def ask_cluster(url: str) -> dict[str, Any]:
    """The cluster map as this node sees it; it has nodes. Raises Unreachable."""
    code, cluster = ask_admin(url, "/cluster")
    if code != 200 or not isinstance(cluster, dict) or "nodes" not in cluster:
        raise Unreachable(f"what answers at {url} is not a node of a cluster")
    if not cluster["nodes"]:
        _, readiness = ask_admin(url, "/readyz")
        reasons = readiness.get("reasons", []) if isinstance(readiness, dict) else []
        raise Joining(f"the node at {url} has not joined a cluster: {'; '.join(reasons)}")
    return cluster


def admin_of(node: dict[str, Any]) -> str | None:
    """URL of a node's admin port; None when it cannot be asked from here."""
    port = node.get("ports", {}).get("admin")
    return f"http://127.0.0.1:{port}" if port and node.get("host") == socket.gethostname() else None


def who_answers(url: str) -> str:
    """Id of the node whose admin port this is now; "" when nobody answers, or not as a node does."""
    try:
        _, body = ask_admin(url, "/readyz")
    except Unreachable:
        return ""
    return str(body.get("node", "")) if isinstance(body, dict) else ""


def slot_count(cluster: dict[str, Any], node: str) -> int:
    return sum(last - first + 1 for first, last in cluster.get("slots", {}).get(node, []))


def _json_of(response: urllib.error.HTTPError) -> Any:
    try:
        return json.load(response)
    except ValueError:
        return {}
