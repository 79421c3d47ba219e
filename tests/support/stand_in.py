"""A supervisor whose children are small programs that behave, or misbehave, as a test wants."""

import os
import sys
from pathlib import Path

import psutil

from iii_cluster.local.child import ChildSpec
from iii_cluster.local.supervisor import Supervisor

# Says that it is ready, tells on SIGTERM or when its lifeline ends, and ends.
STAND_IN = """
import json, os, select, signal, sys
name, journal, mode, ready_fd, lifeline = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[5]), int(sys.argv[7])
print("hello from", name, flush=True)
if mode == "fails":
    print("it cannot be", file=sys.stderr)
    sys.exit(3)
def end(*_):
    with open(journal, "a") as file:
        file.write(name + "\\n")
    sys.exit(0)
def count(*_):
    print("asked", flush=True)
signal.signal(signal.SIGTERM, {"stubborn": signal.SIG_IGN, "counts": count}.get(mode, end))
if mode != "silent":
    ready = {"id": name + "-id", "role": "stand-in", "pid": os.getpid(), "ports": {"admin": 1}}
    os.write(ready_fd, json.dumps(ready).encode() + b"\\n")
    os.close(ready_fd)
select.select([lifeline], [], [])
end()
"""


class Stage:
    """A supervisor whose children are stand-ins, and what was said."""

    def __init__(self, directory: Path) -> None:
        self.script = directory / "stand_in.py"
        self.script.write_text(STAND_IN)
        self.journal = directory / "journal"
        self.said: list[str] = []
        self.output: list[tuple[str, str]] = []
        self.supervisor = Supervisor(self.said.append, lambda name, line: self.output.append((name, line)))
        self.stopped = False

    def spec(self, name: str, mode: str = "serves", stage: int = 0) -> ChildSpec:
        argv = (sys.executable, str(self.script), name, str(self.journal), mode)
        return ChildSpec(name=name, argv=argv, env=dict(os.environ), stage=stage)

    async def stop(self, within: float = 10.0) -> list[str]:
        self.stopped = True
        return await self.supervisor.stop(within)

    def ended(self) -> list[str]:
        """Names of the children that ended as asked, in order."""
        return self.journal.read_text().split() if self.journal.exists() else []

    def running(self) -> list[int]:
        """Process ids of stand-ins that run now."""
        family = psutil.Process().children()
        return sorted(child.pid for child in family if runs(child) and str(self.script) in child.cmdline())


def runs(process: psutil.Process) -> bool:
    """A zombie that nobody reaps has ended."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
