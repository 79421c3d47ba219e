"""What a process has used: CPU time and memory, read from outside."""

import contextlib
import os
import resource
from pathlib import Path

import psutil

NANOSECONDS = 1e-9


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process; nanosecond resolution on Linux, clock ticks (10 ms) elsewhere."""
    with contextlib.suppress(FileNotFoundError):
        tasks = Path(f"/proc/{pid}/task")
        return NANOSECONDS * sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def rss_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def raise_open_files(wanted: int) -> None:
    """Lifts the soft limit of open files to `wanted` as far as the hard limit allows; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return os.uname().machine
