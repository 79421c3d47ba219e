"""`iii-cluster up` with everything real, and the commands an operator types next to it."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from iii_cluster.cli.control import UP_FILE, sweep
from tests.support.admin import get as admin_page
from tests.support.eventually import eventually
from tests.support.process import Process

COMMAND = (sys.executable, "-P", "-m", "iii_cluster.cli.main")
CLIENT_PORTS = ("--worker-port", "0", "--http-port", "0", "--stream-port", "0")
OWN_PORTS = ("--host", "127.0.0.1", *CLIENT_PORTS, "--admin-port", "0", "--metrics-port", "0", "--console", "off")
PORTS = (*OWN_PORTS, "--redis-port", "0")


class Up(Process):
    """A running `iii-cluster up` in a directory of its own."""

    def __init__(self, directory: Path, number: int) -> None:
        super().__init__("up", directory / f"up-{number}.log")
        self.data_dir = directory / "data"

    def start(self, *options: str) -> "Up":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("III_")}
        self.spawn([*COMMAND, "up", *PORTS, "--data-dir", str(self.data_dir), *options], inherited)
        return self

    async def ready(self) -> "Up":
        """Waits for the last line of the summary."""

        def summary_is_complete() -> bool:
            assert self.running, self.tail()
            return bool(self.find(r"^status +(.+)$"))

        await eventually(summary_is_complete, within=60)
        return self

    def find(self, pattern: str) -> str:
        """The first group of the first match in the output, "" without one."""
        found = re.search(pattern, self.log.read_text(), re.MULTILINE)
        return found.group(1) if found else ""

    @property
    def worker_port(self) -> str:
        return self.find(r"connect to ws://127\.0\.0\.1:(\d+)")

    @property
    def admin(self) -> str:
        return self.find(r"--admin (\S+)")

    @property
    def any_admin(self) -> str:
        """Of a process that runs: those in the summary may have been replaced or drained."""
        ports = re.findall(r"action=node_ready .*'admin': (\d+)", self.log.read_text())
        for url in (f"http://127.0.0.1:{port}" for port in reversed(ports)):
            with contextlib.suppress(OSError):
                admin_page(f"{url}/healthz")
                return url
        raise AssertionError(f"no node answers\n{self.tail()}")

    def nodes(self, role: str = "") -> list[dict[str, Any]]:
        """Those of a role, or all, as `status` shows them now."""
        shown = command("status", "--json", "--admin", self.any_admin)  # it fails when a node is not ready, too
        assert shown.stdout, shown.stderr
        found = json.loads(shown.stdout)["nodes"]
        return [node for node in found if node["role"] == role or not role]

    @property
    def node_ids(self) -> set[str]:
        return {node["id"] for node in self.nodes()}

    def node(self, role: str) -> psutil.Process:
        """The first process of a role in the summary."""
        return psutil.Process(int(self.find(rf"^{role} \S+ pid (\d+)")))

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)


MakeUp = Callable[..., Up]


@contextmanager
def ups(directory: Path) -> Iterator[MakeUp]:
    """Gives a function that starts an `up` with options; at the end none is left."""
    started: list[Up] = []

    def make(*options: str) -> Up:
        started.append(Up(directory, len(started)))
        return started[-1].start(*options)

    yield make
    for up in started:
        if up.running:
            family = up.family()
            up.kill()
            for process in family:
                process.wait(10)
        sweep(up.data_dir / UP_FILE)


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command while the test goes on with other things."""
    return await asyncio.to_thread(command, *arguments)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=90, check=False)


def answer(*arguments: str) -> Any:
    completed = command(*arguments)
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
