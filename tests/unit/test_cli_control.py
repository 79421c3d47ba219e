import asyncio
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from iii_cluster.cli.control import UP_FILE, Control, Event, Finished, Replaced, Restart, Tell, ask, read_up_file
from iii_cluster.cli.gateway import Unreachable
from tests.support.eventually import eventually

GATEWAY = Replaced("gateway-1", "gateway-a", "gateway-b", 7, 1.5)


class Answering:
    """What stands in for the restart of a cluster: tells of one process, then waits until it is let go."""

    def __init__(self) -> None:
        self.requests: list[Restart] = []
        self.go = asyncio.Event()
        self.done = 0

    async def restart(self, request: Restart, tell: Tell) -> Finished:
        self.requests.append(request)
        tell(GATEWAY)
        await self.go.wait()
        self.done += 1
        return Finished()


@pytest.fixture
async def answering() -> Answering:
    return Answering()


@pytest.fixture
async def control(tmp_path: Path, answering: Answering) -> AsyncIterator[Control]:
    control = Control(tmp_path, answering.restart)
    await control.open()
    yield control
    await control.close()


def events(data_dir: Path) -> "asyncio.Queue[Event]":
    """Asks in a thread; what comes is put into the queue."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[Event]()

    def follow() -> None:
        for event in ask(data_dir, Restart(rolling=True)):
            loop.call_soon_threadsafe(queue.put_nowait, event)

    loop.run_in_executor(None, follow)
    return queue


def exists(path: Path) -> bool:
    return path.exists()


async def refusal(data_dir: Path) -> str:
    with pytest.raises(Unreachable) as caught:
        await asyncio.to_thread(lambda: list(ask(data_dir, Restart())))
    return str(caught.value)


async def test_progress_comes_as_it_is_made(control: Control, answering: Answering, tmp_path: Path) -> None:
    queue = events(tmp_path)
    assert await queue.get() == GATEWAY
    answering.go.set()
    assert await queue.get() == Finished()
    assert answering.requests == [Restart(rolling=True)]


async def test_a_second_restart_at_the_same_time_is_refused(
    control: Control, answering: Answering, tmp_path: Path
) -> None:
    first = events(tmp_path)
    await first.get()
    assert await events(tmp_path).get() == Finished("a restart is under way already")
    answering.go.set()
    assert await first.get() == Finished()
    third = events(tmp_path)
    assert await third.get() == GATEWAY
    assert await third.get() == Finished()


async def test_a_client_that_leaves_does_not_stop_the_restart(
    control: Control, answering: Answering, tmp_path: Path
) -> None:
    up = read_up_file(tmp_path / UP_FILE)
    assert up is not None
    _, writer = await asyncio.open_unix_connection(up.socket)
    writer.write(b'{"type":"restart","rolling":true}\n')
    await eventually(lambda: answering.requests)
    writer.transport.abort()
    second = events(tmp_path)
    assert await second.get() == Finished("a restart is under way already")
    answering.go.set()
    assert await events(tmp_path).get() == GATEWAY
    assert answering.done >= 1


async def test_who_waits_is_told_that_everything_stops(control: Control, answering: Answering, tmp_path: Path) -> None:
    queue = events(tmp_path)
    assert await queue.get() == GATEWAY
    await control.close()
    assert await queue.get() == Finished("`iii-cluster up` is stopping")
    assert answering.done == 0


async def test_nonsense_is_refused(control: Control, tmp_path: Path) -> None:
    up = read_up_file(tmp_path / UP_FILE)
    assert up is not None
    for nonsense in (b"hello\n", b'{"type":"reboot"}\n', b"x" * 100_000 + b"\n"):
        reader, writer = await asyncio.open_unix_connection(up.socket)
        writer.write(nonsense)
        answer = json.loads(await reader.readline())
        assert answer["error"] == "the request was not understood"
        writer.close()
        await writer.wait_closed()


async def test_nobody_else_can_reach_the_socket(control: Control, tmp_path: Path) -> None:
    up = read_up_file(tmp_path / UP_FILE)
    assert up is not None
    assert up.pid == os.getpid()
    path = Path(up.socket)
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / UP_FILE, path, path.parent)]
    assert modes == [0o600, 0o600, 0o700]


async def test_nothing_is_left_behind(tmp_path: Path, answering: Answering) -> None:
    control = Control(tmp_path, answering.restart)
    await control.open()
    up = read_up_file(tmp_path / UP_FILE)
    assert up is not None
    await control.close()
    assert os.listdir(tmp_path) == []
    assert not exists(Path(up.socket).parent)
    assert "no `iii-cluster up` runs with the data directory" in await refusal(tmp_path)


async def test_without_an_up_there_is_one_clear_line(tmp_path: Path) -> None:
    assert await refusal(tmp_path / "none") == (
        f"no `iii-cluster up` runs with the data directory {tmp_path / 'none'}; "
        "name the one it was started with (--data-dir)"
    )
    (tmp_path / UP_FILE).write_text("{}")
    assert "no `iii-cluster up` runs" in await refusal(tmp_path)


KILLED = """
import asyncio, os, sys
from pathlib import Path
from iii_cluster.cli.control import Control

async def main():
    await Control(Path(sys.argv[1]), None).open()
    os._exit(9)

asyncio.run(main())
"""


async def test_what_a_killed_up_left_is_recognised_and_swept_away(tmp_path: Path, answering: Answering) -> None:
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path))
    assert await killed.wait() == 9
    stale = read_up_file(tmp_path / UP_FILE)
    assert stale is not None
    assert exists(Path(stale.socket))
    assert "no `iii-cluster up` runs" in await refusal(tmp_path)
    control = Control(tmp_path, answering.restart)
    await control.open()
    try:
        assert not exists(Path(stale.socket).parent)
        answering.go.set()
        assert await events(tmp_path).get() == GATEWAY
    finally:
        await control.close()


async def test_a_file_that_names_something_else_makes_nothing_disappear(tmp_path: Path, answering: Answering) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (tmp_path / UP_FILE).write_text(json.dumps({"pid": 1, "socket": str(precious)}))
    control = Control(tmp_path, answering.restart)
    await control.open()
    await control.close()
    assert precious.read_text() == "keep"


async def test_an_up_that_dies_during_the_restart_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        (tmp_path / UP_FILE).write_text(json.dumps({"pid": 1, "socket": str(path)}))

        def dies() -> None:
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()

        dying = asyncio.get_running_loop().run_in_executor(None, dies)
        assert await refusal(tmp_path) == "`iii-cluster up` ended before it was done"
        await dying
