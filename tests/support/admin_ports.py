"""What answers as the admin port of a node does, with pages a test writes."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Pages = dict[str, tuple[int, Any]]
Post = Callable[[str, Any], tuple[int, Any]]  # path, body -> HTTP status, body


def _refuse(path: str, body: Any) -> tuple[int, Any]:
    return 405, {"error": "method not allowed"}


@contextmanager
def admin_ports() -> Iterator[Callable[..., int]]:
    """Gives a function that serves pages, which may be filled later, and returns the port."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(pages: Pages, post: Post = _refuse) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*pages.get(self.path, (404, {"error": "not found"})))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/json"
                self._answer(*post(self.path, json.loads(body)))

            def _answer(self, code: int, body: Any) -> None:
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
