"""One child process: its command, its pipes, how it says that it is ready, and its end."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct, field

from .pipes import LineReader

TAIL_LINES = 15  # of its output, shown when it cannot be started
ANSWER_INTERVAL = 0.02  # s between two questions whether a foreign program is ready
PR_SET_PDEATHSIG = 1


class Ready(Struct, frozen=True):
    """What a child says when it serves."""

    id: str
    role: str
    pid: int
    ports: dict[str, int] = field(default_factory=dict)


class ChildSpec(Struct, frozen=True, kw_only=True):
    """How to start a child. Children of a lower `stage` are stopped before those of a higher one.

    Our own roles get `--ready-fd` and `--lifeline-fd`; of a foreign program `answers` asks whether it is ready,
    and the kernel is told to end it with us (Linux).
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    stage: int
    answers: Callable[[], Awaitable[bool]] | None = None
    fds: tuple[int, ...] = ()

    @property
    def is_role(self) -> bool:
        """One of our own processes, not a foreign program."""
        return self.answers is None


class Child:
    """The child of one spec; `launch` may be called again after it ended."""

    def __init__(self, spec: ChildSpec, lifeline: int, on_output: Callable[[str, str], None]) -> None:
        self.spec = spec
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.ready: Ready | None = None
        self._lifeline = lifeline
        self._on_output = on_output
        self._process: asyncio.subprocess.Process | None = None
        self._ready_line: asyncio.Future[Ready] | None = None
        self._readers: list[LineReader] = []

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def launch(self) -> None:
        """Start the process; raises OSError when its program cannot be run."""
        self.ready = None
        self.tail.clear()
        output_read, output_write = os.pipe()
        self._readers = [LineReader(output_read, self._output)]
        passed = [output_write]
        argv = list(self.spec.argv)
        fds = list(self.spec.fds)
        if self.spec.is_role:
            self._ready_line = asyncio.get_running_loop().create_future()
            ready_read, ready_write = os.pipe()
            self._readers.append(LineReader(ready_read, self._told_ready))
            passed.append(ready_write)
            argv += ["--ready-fd", str(ready_write), "--lifeline-fd", str(self._lifeline)]
            fds += [ready_write, self._lifeline]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                env=self.spec.env,
                pass_fds=fds,
                process_group=0,  # a Ctrl-C at the terminal reaches us alone
                preexec_fn=None if self.spec.is_role else end_with_parent(),
            )
        except BaseException:
            self._close_readers()
            raise
        finally:
            for fd in passed:
                os.close(fd)

    async def wait_ready(self) -> Ready:
        """Returns when the child serves; never, if it ends before."""
        if self.spec.answers is None:
            assert self._ready_line is not None
            self.ready = await asyncio.shield(self._ready_line)
            return self.ready
        while not await self.spec.answers():  # noqa: ASYNC110 - a foreign program announces nothing
            await asyncio.sleep(ANSWER_INTERVAL)
        assert self._process is not None
        self.ready = Ready(self.spec.name, self.spec.name, self._process.pid)
        return self.ready

    async def wait_end(self) -> int:
        """The exit status, negative for a signal."""
        assert self._process is not None
        status = await self._process.wait()
        self._close_readers()
        return status

    def terminate(self) -> None:
        if self.running:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process and whatever it started in its group."""
        if self.running:
            self._signal(signal.SIGKILL, group=True)

    def _signal(self, number: signal.Signals, group: bool = False) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    def _output(self, line: str) -> None:
        self.tail.append(line)
        self._on_output(self.spec.name, line)

    def _told_ready(self, line: str) -> None:
        assert self._ready_line is not None
        if self._ready_line.done():
            return
        with contextlib.suppress(msgspec.MsgspecError):
            self._ready_line.set_result(msgspec.json.decode(line, type=Ready))

    def _close_readers(self) -> None:
        for reader in self._readers:
            reader.close()


def end_with_parent() -> Callable[[], None] | None:
    """What a child runs before its program so that the kernel sends it SIGTERM when this process dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def run() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return run
