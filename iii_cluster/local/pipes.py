"""Lines from the reading end of a pipe, on the running loop."""

import asyncio
import os
from collections.abc import Callable

CHUNK = 65536
LONGEST_LINE = 2**20  # bytes; longer ones are cut


class LineReader:
    """Calls `on_line` with every line (without its end) until the pipe ends or `close` is called. Owns `fd`."""

    def __init__(self, fd: int, on_line: Callable[[str], None]) -> None:
        self._fd = fd
        self._on_line = on_line
        self._partial = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._readable)

    def close(self) -> None:
        """Take what is there and stop; a grandchild may still hold the other end open."""
        while self._fd >= 0 and self._readable():
            pass
        self._end()

    def _readable(self) -> bool:
        try:
            chunk = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._end()
            return False
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        if len(self._partial) > LONGEST_LINE:
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            self._on_line(line.decode(errors="replace"))
        return True

    def _end(self) -> None:
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        if self._partial:
            self._on_line(self._partial.decode(errors="replace"))
            self._partial = b""
