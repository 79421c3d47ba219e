"""Processes without the cost of starting Python: forks of one that has imported what nodes need, and did nothing else.

`python -m tests.support.fork_server FD` serves `tests/support/forks.py` at the other end of socket FD and ends with it.
A request is a length, with file descriptors, and as much JSON; the answer is the process id. The exit status comes
through a pipe of the request's own.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import itertools
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

from iii_cluster.cli.roles import SERVICES
from iii_cluster.modules.load import BUILTIN

# What every gateway and shard imports; what only some need is imported by those.
WARM = (
    "tests.support.role",
    "iii_cluster.node.process",
    *SERVICES.values(),
    *(path.partition(":")[0] for path in BUILTIN.values()),
    "iii_cluster.modules.cluster_adapter",
    "iii_cluster.modules.cron.service",
    "iii_cluster.modules.observability.running",
    "iii_cluster.modules.queue.adapters.redis.builtin",
    "iii_cluster.modules.state.adapters.redis",
    "iii_cluster.modules.stream.adapters.redis",
)
LENGTH = struct.Struct("!I")  # bytes of JSON in a request
PID = struct.Struct("!q")
STATUS = struct.Struct("!i")  # exit status as subprocess has it: negative for a signal
MAX_FDS = 64  # in one request

OUTPUT, EXIT_STATUS = 0, 1  # which of the file descriptors of a request is what; those after them have names


class Request(NamedTuple):
    """`python -m module *argv` with a log, and whatever else a process has from the one that starts it."""

    module: str  # has `main()`
    argv: list[str]
    env: dict[str, str]
    cwd: str
    fds: list[int]  # what the process calls those it was given

    def run(self, received: Sequence[int]) -> NoReturn:
        """In the new process: be as if just started, and end."""
        status: object = 1
        try:
            self._main(received)
            status = 0
        except SystemExit as end:
            status = end.code
        except BaseException as error:
            traceback.print_exc()
            if isinstance(error, KeyboardInterrupt):
                status = -signal.SIGINT
        _exit(status)

    def _main(self, received: Sequence[int]) -> None:
        _place([received[OUTPUT], received[OUTPUT], *received[EXIT_STATUS + 1 :]], [1, 2, *self.fds])
        os.chdir(self.cwd)
        os.environ.clear()
        os.environ.update(self.env)
        time.tzset()
        sys.path[0] = self.cwd
        importlib.invalidate_caches()
        module = importlib.import_module(self.module)
        sys.argv = [str(module.__file__), *self.argv]
        module.main()


class ForkServer:
    """Forks on request and tells how its children ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._statuses: dict[int, int] = {}  # process id -> pipe for its exit status

    def serve(self) -> Callable[[], None] | None:
        """Returns what is to be done in each process it forks; in its own, None when nobody can ask any more."""
        woken, wake = socket.socketpair()
        with woken, wake, _signals(wake):
            woken.setblocking(False)
            poll = select.poll()
            poll.register(self._control, select.POLLIN)
            poll.register(woken, select.POLLIN)
            while True:
                ready = {fd for fd, _ in poll.poll()}
                if woken.fileno() in ready:
                    woken.recv(4096)
                    self._reap()
                if self._control.fileno() in ready:
                    asked = self._request()
                    if asked is None:
                        return None
                    request, received = asked
                    if self._forked(received):
                        return lambda: request.run(received)

    def _request(self) -> tuple[Request, list[int]] | None:
        head, received, _, _ = socket.recv_fds(self._control, LENGTH.size, MAX_FDS)
        if not head:
            return None
        (length,) = LENGTH.unpack(head)
        fields: dict[str, Any] = json.loads(self._control.recv(length, socket.MSG_WAITALL))
        return Request(**fields), received

    def _forked(self, received: list[int]) -> bool:
        """Whether this is the new process."""
        pid = os.fork()
        if pid == 0:
            return True
        self._statuses[pid] = received.pop(EXIT_STATUS)
        for fd in received:
            os.close(fd)
        self._control.sendall(PID.pack(pid))
        return False

    def _reap(self) -> None:
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            pipe = self._statuses.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(pipe, STATUS.pack(os.waitstatus_to_exitcode(status)))
            os.close(pipe)


@contextlib.contextmanager
def _signals(wake: socket.socket) -> Iterator[None]:
    """The end of a child wakes, an interrupt from the terminal is for others; afterwards all is as it was."""
    wake.setblocking(False)
    before = signal.signal(signal.SIGCHLD, lambda *_: None), signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, before[0])
        signal.signal(signal.SIGINT, before[1])


def _place(received: Sequence[int], targets: Sequence[int]) -> None:
    """Gives file descriptors the numbers they shall have; all but these and stdin are closed."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, max(*targets, *received) + 1) for fd in received]
    for fd, target in zip(moved, targets, strict=True):
        os.dup2(fd, target)
    kept = [0, *sorted(targets), os.sysconf("SC_OPEN_MAX")]
    for low, high in itertools.pairwise(kept):
        os.closerange(low + 1, high)


def _exit(status: object) -> NoReturn:
    """As Python ends, but for the tidying of memory, which costs more than all of a node's start."""
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as multiprocessing has it for its forks
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status or 0)


def main() -> None:
    for name in WARM:
        importlib.import_module(name)
    gc.collect()  # what lives until now is old in every fork, and seldom looked at
    with socket.socket(fileno=int(sys.argv[1])) as control:
        program = ForkServer(control).serve()
    if program is not None:
        program()


if __name__ == "__main__":
    main()
