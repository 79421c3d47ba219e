"""How a running `iii-cluster up` is asked for something: a unix socket that a file in its data directory names.

One request per connection, a line of JSON; the answer is lines of JSON, the last one a Finished. The socket lives in
a directory of its own because its path must be short and nobody else may come near it.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from .gateway import Unreachable

UP_FILE = "up.json"
SOCKET_NAME = "control.sock"
SOCKET_DIRECTORY = "iii-cluster-up-"  # prefix of its name
REQUEST_TIMEOUT = 5.0  # s a client may take to say what it wants
CONNECT_TIMEOUT = 3.0  # s


class UpFile(Struct, frozen=True):
    """Content of `up.json`."""

    pid: int
    socket: str


class Restart(Struct, frozen=True, tag="restart"):
    """The only request so far."""

    rolling: bool = False


class Replaced(Struct, frozen=True, tag="replaced"):
    """A process is done: `old` ("" if none ran) and `new` are node ids; `killed`: the old one did not stop in time."""

    name: str
    old: str
    new: str
    pid: int
    seconds: float
    killed: bool = False


class Finished(Struct, frozen=True, tag="finished"):
    """The end of an answer; without an `error` all was done. `tail` is the end of a failed process' output, `note` what
    may surprise whoever asked."""

    error: str = ""
    tail: tuple[str, ...] = ()
    note: str = ""


Event = Replaced | Finished
Tell = Callable[[Event], None]
OnRestart = Callable[[Restart, Tell], Awaitable[Finished]]

_decode_event = msgspec.json.Decoder(Replaced | Finished).decode


class Control:
    """The listening side. One restart at a time; it goes on when the client that asked for it leaves."""

    def __init__(self, data_dir: Path, on_restart: OnRestart) -> None:
        self._file = data_dir.absolute() / UP_FILE
        self._on_restart = on_restart
        self._directory: Path | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = False

    async def open(self) -> None:
        """Raises OSError. The data directory must be locked: what another `up` left there is swept away."""
        sweep(self._file)
        self._directory = Path(tempfile.mkdtemp(prefix=SOCKET_DIRECTORY))  # 0700
        path = self._directory / SOCKET_NAME
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(path))
            path.chmod(0o600)
        except OSError:
            listener.close()
            raise
        self._server = await asyncio.start_unix_server(self._connected, sock=listener)
        _write(self._file, msgspec.json.encode(UpFile(os.getpid(), str(path))) + b"\n")

    async def close(self) -> None:
        """Whoever waits for an answer is told that it ends here."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._directory is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def tell(event: Event) -> None:
            if not writer.is_closing():
                writer.write(msgspec.json.encode(event) + b"\n")

        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = msgspec.json.decode(await reader.readline(), type=Restart)
            tell(await self._restart(request, tell))
        except asyncio.CancelledError:
            tell(Finished("`iii-cluster up` is stopping"))
        except (TimeoutError, ValueError, msgspec.MsgspecError):
            tell(Finished("the request was not understood"))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _restart(self, request: Restart, tell: Tell) -> Finished:
        if self._busy:
            return Finished("a restart is under way already")
        self._busy = True
        try:
            return await self._on_restart(request, tell)
        finally:
            self._busy = False


def ask(data_dir: Path, request: Restart) -> Iterator[Event]:
    """What the `up` of this data directory answers, as it comes. Raises Unreachable."""
    with _connected_to(data_dir) as connection, connection.makefile("rwb") as stream:
        stream.write(msgspec.json.encode(request) + b"\n")
        stream.flush()
        for line in stream:
            event = _decode_event(line)
            yield event
            if isinstance(event, Finished):
                return
    raise Unreachable("`iii-cluster up` ended before it was done")


def _connected_to(data_dir: Path) -> socket.socket:
    nobody = Unreachable(
        f"no `iii-cluster up` runs with the data directory {data_dir}; name the one it was started with (--data-dir)"
    )
    up = read_up_file(data_dir / UP_FILE)
    if up is None:
        raise nobody
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(CONNECT_TIMEOUT)
    try:
        connection.connect(up.socket)
    except (FileNotFoundError, ConnectionRefusedError):  # it was killed and could not clear up
        connection.close()
        raise nobody from None
    except OSError as error:
        connection.close()
        raise Unreachable(f"cannot ask `iii-cluster up`, process {up.pid}: {error.strerror or error}") from None
    connection.settimeout(None)
    return connection


def read_up_file(path: Path) -> UpFile | None:
    """None where there is none that makes sense. Raises Unreachable when it may not be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=UpFile)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None
    except OSError as error:
        raise Unreachable(f"cannot read {path}: {error.strerror}") from None


def sweep(file: Path) -> None:
    """Removes what an `up` that was killed left behind: the file, its socket and the socket's directory."""
    with contextlib.suppress(Unreachable, OSError):
        up = read_up_file(file)
        file.unlink(missing_ok=True)
        path = Path(up.socket) if up is not None else None
        if path is not None and path.name == SOCKET_NAME and stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
            path.parent.rmdir()


def _write(path: Path, content: bytes) -> None:
    """As a whole or not at all, and for nobody else to read."""
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    new.replace(path)
