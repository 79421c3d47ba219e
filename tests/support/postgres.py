"""A real PostgreSQL server of the tests' own."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.ports import release_port, reserve_port
from tests.support.process import START_TIMEOUT, Process

USER = "postgres"  # system user as whom the server runs when the tests are root's: it refuses to be root
INSTALLED = Path("/usr/lib/postgresql")  # where Debian keeps every version's programs; they are not in PATH
CONFIG = {"fsync": "off", "unix_socket_directories": "", "listen_addresses": "127.0.0.1", "max_connections": "60"}


def programs() -> Path:
    """The directory of the newest installed server's programs; skips the test where there is none."""
    found = [path.parent for path in INSTALLED.glob("*/bin/initdb")]
    if not found and (initdb := shutil.which("initdb")):
        found.append(Path(initdb).resolve().parent)
    if not found:
        pytest.skip("no PostgreSQL server is installed")
    return max(found, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))


class PostgresServer(Process):
    """Listens on a free port of 127.0.0.1. What it committed survives `restart`."""

    def __init__(self, directory: Path) -> None:
        super().__init__("postgres", directory / "postgres.log")
        self._programs = programs()
        self.port = reserve_port()
        self._home = Path(tempfile.mkdtemp(prefix="iii-cluster-postgres-"))  # pytest's directories are closed to others
        self._data = self._home / "data"

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        if not self._data.exists():
            self._create()
        settings = [f"--{name}={value}" for name, value in {**CONFIG, "port": str(self.port)}.items()]
        self.spawn([*_as_user(), str(self._programs / "postgres"), "-D", str(self._data), *settings])
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            assert self.running, f"{self.name} ended\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} does not answer\n{self.tail()}"
            time.sleep(0.05)

    def restart(self) -> None:
        """As after a crash: ends every connection without a word, recovers on the same port."""
        self.quit()
        self.start()

    def quit(self) -> None:
        """Ends the server and its children at once; after SIGKILL they would live on for a while."""
        if self.running:
            self.child.send_signal(signal.SIGQUIT)
            self.wait()

    def close(self) -> None:
        """Stops the server for good."""
        self.quit()
        shutil.rmtree(self._home)
        release_port(self.port)

    def _create(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self._home, USER, USER)
        argv = [*_as_user(), str(self._programs / "initdb"), "-D", str(self._data), "-U", USER, "-A", "trust"]
        argv += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        made = subprocess.run(argv, capture_output=True, text=True, cwd="/")
        assert made.returncode == 0, made.stdout + made.stderr

    def _answers(self) -> bool:
        argv = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(argv).returncode == 0


def _as_user() -> list[str]:
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"] if os.geteuid() == 0 else []
