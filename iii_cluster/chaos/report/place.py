"""The output directory: found writable before anything is started, and filled at the end as far as it can be."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path


class NotWritable(Exception):
    """The directory can not be made or written; says why."""


@contextlib.contextmanager
def place(directory: Path) -> Iterator[None]:
    """Makes the directory. One that was not there before goes again if nothing was put into it. Raises NotWritable."""
    was_there = directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:  # permissions tell nothing: root has them all
            file.write(b"?")
    except OSError as error:
        raise NotWritable(f"--output {directory} can not be written: {error.strerror}") from None
    try:
        yield
    finally:
        if not was_there:
            with contextlib.suppress(OSError):
                directory.rmdir()


def fill(directory: Path, files: Mapping[str, Callable[[], bytes]]) -> dict[str, str]:
    """Writes every file it can; the names of the others, and why."""
    failed = {}
    for name, content in files.items():
        try:
            (directory / name).write_bytes(content())
        except OSError as error:
            failed[name] = str(error.strerror)
    return failed
