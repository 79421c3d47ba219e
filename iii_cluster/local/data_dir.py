"""The directory of a local cluster: one command uses it at a time."""

import fcntl
import os
from pathlib import Path


class DataDirError(Exception):
    """The directory cannot be used, in one line."""


class DataDirInUse(DataDirError):
    """Another `iii-cluster up` has it."""


def lock_data_dir(path: Path) -> int:
    """Creates the directory and locks it by itself: no lock file stays behind. Closing the descriptor frees it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DataDirError(f"cannot use the data directory {path}: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise DataDirInUse(
            f"the data directory {path} is in use by another `iii-cluster up`; choose another one with --data-dir"
        ) from None
    return fd
