"""Child processes from the fork server: started in milliseconds, real processes in everything else.

One server per test process, started when it is first needed; it ends with the test process. Its forks have its seed of
hashes, and of the variables that Python reads at its start they have those of the server: see `suits`.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.fork_server import LENGTH, PID, STATUS

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT = 10.0  # seconds in which the server ends


class ForkServerDied(Exception):
    """The process all others are forked from is gone, which no test does on purpose."""


class ForkedProcess:
    """What a test may do with a process, as subprocess.Popen has it."""

    def __init__(self, server: "ForkServer", pid: int, status_fd: int, argv: Sequence[str], log: Path) -> None:
        self.pid = pid
        self.args = argv
        self.returncode: int | None = None
        self._server = server
        self._log = log
        self._status_fd = status_fd
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, status_fd)

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._await(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises subprocess.TimeoutExpired."""
        status = self._await(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _await(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            ending = select.poll()
            ending.register(self._status_fd, select.POLLIN)
            if ending.poll(None if timeout is None else timeout * 1000):
                with self._lock:
                    if self.returncode is None:
                        self.returncode = self._status()
        return self.returncode

    def _status(self) -> int:
        told = os.read(self._status_fd, STATUS.size)
        if told:
            status: int = STATUS.unpack(told)[0]
            return status
        # Nobody can say any more how it ends: it must not go on, and its log tells whoever wonders.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with self._log.open("a") as log:
            log.write(f"\nThis process was killed by the test: {self._server.epitaph()}\n")
        return -signal.SIGKILL


class ForkServer:
    """The process that nodes are forked from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the server lives
        self._startup = _startup(os.environ)
        self._control, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=[theirs.fileno()],
            )

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def running(self) -> bool:
        return self._server.poll() is None

    def suits(self, env: Mapping[str, str]) -> bool:
        """Whether `env` says the same to a starting Python as it said to the server's."""
        return _startup(env) == self._startup

    def fork(
        self, module: str, argv: Sequence[str], log: Path, env: Mapping[str, str], fds: Sequence[int] = ()
    ) -> ForkedProcess:
        """`python -m module *argv`, for a module with a `main()`; `fds` have the same numbers in it."""
        said = {"module": module, "argv": argv, "env": dict(env), "cwd": os.getcwd(), "fds": fds}
        body = json.dumps(said).encode()
        status_fd, theirs = os.pipe()
        try:
            with log.open("ab") as output:
                pid = self._ask(body, [output.fileno(), theirs, *fds])
        except BaseException:
            os.close(status_fd)
            raise
        finally:
            os.close(theirs)
        return ForkedProcess(self, pid, status_fd, [module, *argv], log)

    def _ask(self, body: bytes, fds: Sequence[int]) -> int:
        with self._lock:
            try:
                socket.send_fds(self._control, [LENGTH.pack(len(body))], fds)
                self._control.sendall(body)
                answer = self._control.recv(PID.size, socket.MSG_WAITALL)
            except OSError:
                answer = b""
            if not answer:
                raise ForkServerDied(self.epitaph())
            pid: int = PID.unpack(answer)[0]
            return pid

    def epitaph(self) -> str:
        """What is known of its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(STOP_TIMEOUT)
        said = os.pread(self._output.fileno(), 8_000, 0).decode(errors="replace")
        return f"the fork server, process {self.pid}, ended with status {self._server.returncode}\n{said}"

    def close(self) -> None:
        """Its forks, if there are any left, go on."""
        self._control.close()
        try:
            self._server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._output.close()


def _startup(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith("PYTHON")}


_server: ForkServer | None = None


def server() -> ForkServer:
    """That of this test process. Raises ForkServerDied, once for each that did."""
    global _server
    if _server is not None and not _server.running:
        epitaph = _server.epitaph()
        close()
        raise ForkServerDied(epitaph)
    if _server is None:
        _server = ForkServer()
    return _server


def close() -> None:
    """Ends the server of this test process, if it has one."""
    global _server
    if _server is not None:
        _server.close()
        _server = None


atexit.register(close)
