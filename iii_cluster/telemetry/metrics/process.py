"""What the operating system says of this process."""

import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

FDS_INTERVAL = 15.0  # s that a count which had to list all of them is good for

_PAGE = os.sysconf("SC_PAGE_SIZE")


class ProcessNumbers(NamedTuple):
    cpu_seconds: float
    rss_bytes: int
    virtual_bytes: int  # 0 where only /proc would say
    fds: int
    max_fds: int


class ThisProcess:
    """Costs some ten microseconds to look at."""

    def __init__(self) -> None:
        self._fds = 0
        self._fds_until = 0.0

    def look(self) -> ProcessNumbers:
        used = resource.getrusage(resource.RUSAGE_SELF)
        rss, virtual = _memory(used.ru_maxrss)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return ProcessNumbers(used.ru_utime + used.ru_stime, rss, virtual, self._open_fds(), limit)

    def _open_fds(self) -> int:
        """New kernels know without listing them, which takes milliseconds when there are thousands."""
        try:
            known = os.stat("/proc/self/fd").st_size
        except OSError:
            known = 0
        if known:
            return known
        now = time.monotonic()
        if now >= self._fds_until:
            self._fds_until = now + FDS_INTERVAL
            self._fds = len(os.listdir("/dev/fd"))
        return self._fds


def _memory(peak: int) -> tuple[int, int]:
    """Resident and virtual bytes. Without /proc, the peak: bytes on macOS."""
    try:
        virtual, resident = Path("/proc/self/statm").read_bytes().split()[:2]
    except OSError:
        return peak, 0
    return int(resident) * _PAGE, int(virtual) * _PAGE
