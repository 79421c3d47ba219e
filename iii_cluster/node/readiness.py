"""Talking to the process that started this one: a line when ready, and a pipe that ends when it dies."""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any


def report_ready(fd: int, report: Mapping[str, Any]) -> None:
    """Write `report` as one line of JSON to `fd` and close it. A reader that is gone does not matter."""
    line = json.dumps(report, separators=(",", ":")) + "\n"
    with contextlib.suppress(BrokenPipeError), os.fdopen(fd, "w") as pipe:
        pipe.write(line)


def watch_lifeline(fd: int, on_end: Callable[[], None]) -> None:
    """Call `on_end` once when the other end of pipe `fd` is closed, as it is when its process dies."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)

    def readable() -> None:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(fd)
            on_end()

    loop.add_reader(fd, readable)
