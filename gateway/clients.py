"""What is known of the generations of published clients, by the version a worker announced."""

import re

from .worker import Worker

# Clients since this version say who they were when they connect again.
_REATTACH_SINCE = (0, 22)


def older_than(worker: Worker | None, major: int, minor: int) -> bool:
    """True when the client announced a version below; unknown clients count as new."""
    version = _version(worker) if worker is not None else None
    return version is not None and version < (major, minor)


def reattaches(worker: Worker) -> bool:
    """Whether the client asks for the answers to its calls when it connects again; unknown ones may not."""
    version = _version(worker)
    return version is not None and version >= _REATTACH_SINCE


def _version(worker: Worker) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", str(worker.info.get("version") or ""))
    return (int(found[1]), int(found[2])) if found is not None else None
