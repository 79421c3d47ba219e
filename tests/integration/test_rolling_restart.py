"""`iii-cluster restart --rolling` of a real cluster whose workers call each other all the time."""

import asyncio
import itertools
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.history import History, calling
from tests.support.reconnecting import Reconnecting, reconnecting
from tests.support.told import EVENTS, Told, write
from tests.support.up import MakeUp, Up, answer, run

SMALL = ()  # the default topology: one gateway, two shards, one coordinator
LARGE = ("--gateways", "2", "--shards", "2", "--coordinators", "2")
OWN = 3  # workers with a function of their own
DELAY = 1.0  # s before a client connects again, as with published ones
SHARED = 2  # workers that serve one function together


def data(frame: dict[str, Any]) -> Any:
    return frame["data"]


class Load:
    """Workers that serve, workers that call, and what became of each call."""

    def __init__(self, up: Up) -> None:
        self._url = f"ws://127.0.0.1:{up.worker_port}"
        self._stack = AsyncExitStack()
        self.workers: dict[str, Reconnecting] = {}
        self.histories: dict[str, History] = {}

    async def __aenter__(self) -> "Load":
        functions = [f"own::{number}" for number in range(OWN)]
        for number, function in enumerate([*functions, *["shared::echo"] * SHARED]):
            await (await self._worker(f"server-{number}")).register(function, data)
        for function in {*functions, "shared::echo"}:
            caller = await self._worker(f"caller of {function}")
            await eventually(partial(self._known, caller, {*functions, "shared::echo"}))
            self.histories[function] = await self._stack.enter_async_context(calling(caller, function, at_once=2))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def more(self) -> None:
        """Returns when every caller has got further answers."""
        for history in self.histories.values():
            await history.more()

    def problems(self) -> Counter[str]:
        """What went wrong, and how often."""
        found: Counter[str] = Counter()
        for function, history in self.histories.items():
            found.update(f"{function}: {error['code']}: {error['message']}" for error in history.failed)
            found.update(f"{function}: another call's answer" for _ in history.mixed_up)
        return found

    async def _worker(self, name: str) -> Reconnecting:
        worker = await self._stack.enter_async_context(reconnecting(self._url, name=name, delay=DELAY))
        self.workers[name] = worker
        return worker

    @staticmethod
    async def _known(caller: Reconnecting, functions: set[str]) -> bool:
        rows = (await caller.call("engine::functions::list", {}))["functions"]
        return functions <= {row["function_id"] for row in rows}


@pytest.mark.parametrize("topology", [SMALL, LARGE], ids=["small", "large"])
async def test_a_rolling_restart_loses_no_call_and_no_worker(make_up: MakeUp, topology: tuple[str, ...]) -> None:
    up = await make_up(*topology).ready()
    before = up.node_ids
    async with Load(up) as load:
        await load.more()
        done = await run("restart", "--rolling", "--data-dir", str(up.data_dir))
        assert done.returncode == 0, done.stderr
        await load.more()
        after = up.node_ids
        listed = answer("workers", "--json", "--port", up.worker_port)
    problems = load.problems()
    assert not problems, f"{problems}\n{done.stdout}"
    assert not before & after
    assert len(after) == len(before)
    assert sorted((worker["name"], worker["id"]) for worker in listed) == sorted(
        (name, worker.worker_id) for name, worker in load.workers.items()
    )
    assert done.stdout.splitlines()[-1].startswith(f"restarted {len(before)} processes in ")
    assert up.stop() == 0


@pytest.mark.parametrize("topology", [SMALL, LARGE], ids=["small", "large"])
async def test_a_rolling_restart_loses_no_event_and_repeats_none(make_up: MakeUp, topology: tuple[str, ...]) -> None:
    up = await make_up(*topology).ready()
    url = f"ws://127.0.0.1:{up.worker_port}"
    told = Told()
    numbers = itertools.count()
    async with reconnecting(url, delay=DELAY) as worker, reconnecting(url, delay=DELAY) as writer:
        await told.listen(worker)

        async def all_told() -> bool:
            await write(writer, next(numbers))
            return all(told.numbers.values())

        await eventually(all_told)
        first = next(numbers)
        await write(writer, first)
        restarting = asyncio.create_task(run("restart", "--rolling", "--data-dir", str(up.data_dir)))
        while not restarting.done():
            await write(writer, next(numbers))
        done = await restarting
        assert done.returncode == 0, done.stderr
        await write(writer, next(numbers))
        expected = list(range(first, next(numbers)))
        await eventually(lambda: all(len(each) >= len(expected) for each in told.of(first).values()), within=30)
        assert told.of(first) == dict.fromkeys(EVENTS, expected)
    assert up.stop() == 0
