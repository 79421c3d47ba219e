import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from iii_cluster.chaos import settling
from iii_cluster.chaos.history import NotBack
from iii_cluster.chaos.recorder import Recorder
from iii_cluster.chaos.settling import Settling


class Load(SimpleNamespace):
    """Settles when it is told to."""

    def __init__(self) -> None:
        super().__init__(pending=0, unknown=[], awaited=[], settled=asyncio.Event())

    async def settle(self) -> None:
        await self.settled.wait()


def made(load: Any, not_ready: list[NotBack], said: list[str]) -> Settling:
    observer: Any = SimpleNamespace(not_ready=not_ready)
    return Settling(load, observer, Recorder(2.0), said.append)


async def test_what_is_waited_for_is_named() -> None:
    load = Load()
    settles = made(load, [NotBack(process="shard-1", at=1.0, reasons=["draining"])], [])
    assert settles.awaited() == ["shard-1 (draining)"]
    load.unknown = ["caller-0", "caller-1"]
    assert settles.awaited()[1] == "2 workers to be connected and known, such as caller-0"


async def test_calls_are_waited_for_last() -> None:
    load = Load()
    load.pending = 3
    assert made(load, [], []).awaited() == ["3 calls to end"]


async def test_what_takes_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "LONG", 0.01)
    heard: asyncio.Queue[str] = asyncio.Queue()
    load = Load()
    load.pending = 1
    observer: Any = SimpleNamespace(not_ready=[])
    task = asyncio.create_task(Settling(load, observer, Recorder(2.0), heard.put_nowait).settle())  # type: ignore[arg-type]
    assert await heard.get() == "waiting for everything to settle"
    assert await heard.get() == "still waiting for 1 calls to end"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
