import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner

from iii_cluster.cli.child import Ready
from iii_cluster.cli.main import main
from iii_cluster.cli.screen import Screen
from iii_cluster.cli.summary import print_summary
from iii_cluster.config.settings import Settings
from tests.support.ports import release_port, reserve_port

Pages = dict[str, tuple[int, Any]]


@pytest.fixture
def admin() -> Iterator[Callable[[Pages], int]]:
    """Serves pages as an admin port does; the pages may be filled after the port is known."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(pages: Pages) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, body = pages.get(self.path, (404, {"error": "not found"}))
                self.send_response(code)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return int(server.server_address[1])

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def node(id: str, role: str, port: int, host: str | None = None) -> dict[str, Any]:
    return {"id": id, "role": role, "host": host or socket.gethostname(), "pid": 1, "ports": {"admin": port}}


def cluster(*nodes: dict[str, Any]) -> Pages:
    slots = {"shard-a": [[0, 9], [20, 29]]}
    return {"/cluster": (200, {"term": 3, "epoch": 7, "leader": "c", "nodes": list(nodes), "slots": slots})}


def test_status_asks_every_node_it_can_reach(admin: Callable[[Pages], int]) -> None:
    dead = reserve_port()
    busy = admin({"/readyz": (503, {"ready": False, "reasons": ["bus is not subscribed"]})})
    pages: Pages = {"/readyz": (200, {"ready": True, "reasons": []})}
    port = admin(pages)
    pages |= cluster(
        node("shard-a", "shard", port),
        node("gateway-b", "gateway", busy),
        node("gateway-c", "gateway", dead),
        node("gateway-d", "gateway", port, host="another-machine"),
    )
    result = CliRunner().invoke(main, ["status", "--json", "--admin", f"http://127.0.0.1:{port}/"])
    release_port(dead)
    found = json.loads(result.stdout)
    assert (found["term"], found["epoch"], found["leader"]) == (3, 7, "c")
    assert [(one["id"], one["ready"], one["slots"]) for one in found["nodes"]] == [
        ("gateway-b", False, 0),
        ("gateway-c", False, 0),
        ("gateway-d", None, 0),
        ("shard-a", True, 20),
    ]
    assert found["nodes"][0]["reasons"] == ["bus is not subscribed"]
    assert "no admin port answers" in found["nodes"][1]["reasons"][0]


def test_status_is_one_line_per_node(admin: Callable[[Pages], int]) -> None:
    pages: Pages = {"/readyz": (200, {"ready": True, "reasons": []})}
    port = admin(pages)
    pages |= cluster(node("shard-a", "shard", port))
    result = CliRunner().invoke(main, ["status"], env={"III_CLUSTER_ADMIN": f"http://127.0.0.1:{port}"})
    head, columns, row = result.stdout.splitlines()
    assert head == "term 3, epoch 7, leader c"
    assert columns.split("\t") == ["role", "id", "host", "pid", "ports", "slots", "ready"]
    assert row.split("\t") == ["shard", "shard-a", socket.gethostname(), "1", f"admin:{port}", "20", "yes"]


@pytest.mark.parametrize("pages", [{}, {"/cluster": (200, ["something else"])}])
def test_another_server_is_not_taken_for_a_node(admin: Callable[[Pages], int], pages: Pages) -> None:
    port = admin(pages)
    result = CliRunner().invoke(main, ["status", "--admin", f"http://127.0.0.1:{port}"])
    assert result.exit_code == 1
    assert result.stderr == f"error: what answers at http://127.0.0.1:{port} is not a node of a cluster\n"


def test_nobody_at_the_admin_port_is_one_clear_line() -> None:
    port = reserve_port()
    result = CliRunner().invoke(main, ["status", "--admin", f"http://127.0.0.1:{port}"])
    release_port(port)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: no admin port answers at http://127.0.0.1:{port}: ")
    assert result.stderr.count("\n") == 1


async def test_the_summary_says_who_runs_where_and_how_to_connect(
    admin: Callable[[Pages], int], capsys: pytest.CaptureFixture[str]
) -> None:
    port = admin(cluster(node("shard-a", "shard", 0)))
    settings = Settings(redis_urls=("redis://:secret@h",), admin_port=port)
    nodes = [
        Ready("gateway-b", "gateway", 11, {"worker": 49134, "admin": port}),
        Ready("shard-a", "shard", 12, {"admin": 2}),
        Ready("c", "coordinator", 13, {"admin": 3}),
    ]
    await print_summary(Screen(), settings, nodes, embedded=False)
    assert capsys.readouterr().out.splitlines() == [
        f"gateway gateway-b pid 11 admin:{port} worker:49134",
        "shard shard-a pid 12 admin:2 20 slots",
        "coordinator c pid 13 admin:3 leader",
        "leader      c",
        "redis       redis://***@h",
        "workers     connect to ws://127.0.0.1:49134",
        "try         III_URL=ws://127.0.0.1:49134 python my_worker.py",
        "            iii-cluster invoke my::function --data '{}'",
        f"status      iii-cluster status --admin http://127.0.0.1:{port}",
    ]


async def test_the_summary_does_without_an_answer_of_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    port = reserve_port()
    await print_summary(Screen(), Settings(redis_urls=("redis://h",)), [Ready("s", "shard", 1, {"admin": port})], True)
    release_port(port)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"shard s pid 1 admin:{port}",
        "leader      unknown",
        "redis       redis://h (embedded Valkey)",
    ]
