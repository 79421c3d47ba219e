"""One child process of a test: started with a log file, stopped by its pid, never left behind."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import forks

START_TIMEOUT = 80.0  # seconds until a process must be ready: a broker needs 35 where everything else runs, too
STOP_TIMEOUT = 20.0  # seconds a process may take for a graceful stop
LOG_TAIL = 8_000  # characters of a log shown when a test fails


class Process:
    """A command with its output in `log`; it may tell that it is ready through an inherited pipe."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._child: subprocess.Popen[bytes] | forks.ForkedProcess | None = None

    def spawn(self, argv: Sequence[str], env: Mapping[str, str] | None = None, fds: Sequence[int] = ()) -> None:
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, pass_fds=fds
            )

    def fork(
        self, module: str, argv: Sequence[str], env: Mapping[str, str] | None = None, fds: Sequence[int] = ()
    ) -> None:
        """`spawn` of `python -m module *argv` for a tenth of its cost, unless `env` asks for a Python of its own."""
        env, server = os.environ if env is None else env, forks.server()
        if server.suits(env):
            self._child = server.fork(module, argv, self.log, env, fds)
        else:
            self.spawn([sys.executable, "-m", module, *argv], env, fds)

    @property
    def child(self) -> subprocess.Popen[bytes] | forks.ForkedProcess:
        assert self._child is not None, f"{self.name} was not started"
        return self._child

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def pause(self) -> None:
        """SIGSTOP: alive, but as silent as a dead one."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.child.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        if self.running:
            self.child.kill()
            self.child.wait(STOP_TIMEOUT)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        if self.running:
            self.child.send_signal(signal.SIGCONT)
            self.child.terminate()

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """Exit status of the process; kills it and fails when it does not end in time."""
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {timeout} s\n{self.tail()}") from None

    def stop(self) -> int:
        """SIGTERM and wait; returns the exit status."""
        self.terminate()
        return self.wait()

    def tail(self) -> str:
        """The end of what the process wrote."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"----- {self.name}\n{text[-LOG_TAIL:]}"


def read_ready_line(fd: int, process: Process, timeout: float = START_TIMEOUT) -> dict[str, Any]:
    """The JSON line a process writes to its ready pipe; fails when it ends or stays silent instead."""
    deadline = time.monotonic() + timeout
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(fd, 65536) if readable else b""
        if not chunk:
            why = "ended before it was ready" if readable else f"was not ready within {timeout} s"
            raise AssertionError(f"{process.name} {why}\n{process.tail()}")
        line += chunk
    ready: dict[str, Any] = json.loads(line)
    return ready
