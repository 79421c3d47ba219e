"""A stand-in for a gateway that answers what commands ask."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from click.testing import CliRunner, Result
from websockets.sync.server import Server, ServerConnection, serve

from iii_cluster.cli.main import main

Reply = Callable[[dict[str, Any]], dict[str, Any] | None]


class Engine:
    """Answers calls on a port of its own as a gateway would; `replies` are by function id."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.replies: dict[str, Reply] = {}
        self.server: Server = serve(self._serve, "127.0.0.1", 0, compression=None)
        self.port = self.server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()

    def _serve(self, socket: ServerConnection) -> None:
        socket.send(json.dumps({"type": "workerregistered", "worker_id": "w"}))
        for frame in socket:
            call = json.loads(frame)
            self.calls.append(call)
            answer = self.replies[call["function_id"]](call)
            if answer is None:
                socket.close(1012)
                return
            socket.send(json.dumps({"type": "invocationresult", "invocation_id": "another", "result": "not this"}))
            address = {"invocation_id": call["invocation_id"], "function_id": call["function_id"]}
            socket.send(json.dumps({"type": "invocationresult", **address, **answer}))


@contextmanager
def answering() -> Iterator[Engine]:
    engine = Engine()
    try:
        yield engine
    finally:
        engine.stop()


def run(engine: Engine, *arguments: str) -> Result:
    """A command against it, not on a terminal."""
    return CliRunner().invoke(main, [*arguments, "--port", str(engine.port)])
