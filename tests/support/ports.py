"""Ports that no other test on this machine is using, held until the test process ends."""

import fcntl
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

# Below the ranges from which Linux and macOS pick the local port of outgoing connections, so that a
# server can be stopped and started again on the port it had.
FIRST = 15_000
LAST = 30_000

_held: dict[int, IO[str]] = {}


def reserve_port() -> int:
    """A free port of 127.0.0.1 that nobody else reserves as long as this process lives."""
    directory = Path(tempfile.gettempdir()) / "iii-cluster-test-ports"
    directory.mkdir(exist_ok=True)
    while True:
        port = random.randrange(FIRST, LAST)
        if port not in _held and _reserve(directory / str(port), port):
            return port


def _reserve(path: Path, port: int) -> bool:
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        lock.close()
        return False
    _held[port] = lock
    return True


def release_port(port: int) -> None:
    """Gives a reserved port back."""
    _held.pop(port).close()
