"""Which request to stop is graceful, and which one ends the process at once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from iii_cluster.node.stopping import StopRequest
from tests.support.eventually import eventually

GRACE = 30.0


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    return codes


@pytest.fixture
async def stop(exits: list[int]) -> AsyncIterator[StopRequest]:
    request = StopRequest(GRACE)
    request.listen()
    yield request
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_a_second_signal_ends_the_process_at_once(stop: StopRequest, exits: list[int]) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await stop.wait()
    assert (stop.grace, exits) == (GRACE, [])
    os.kill(os.getpid(), signal.SIGTERM)
    await eventually(lambda: exits == [128 + signal.SIGTERM])


async def test_the_first_signal_during_a_drain_lets_it_go_on(stop: StopRequest, exits: list[int]) -> None:
    stop.request("drain", grace=5.0)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    await eventually(lambda: exits)
    assert (stop.grace, len(exits)) == (5.0, 1)  # only the second one
