import asyncio
from typing import Any

import pytest

from iii_cluster.chaos.clusters.queues import with_queues
from iii_cluster.chaos.effects import Queue
from iii_cluster.chaos.history import OK, Call, Connection
from iii_cluster.chaos.load.browser import HttpDoor
from iii_cluster.chaos.load.calls import Sizes
from iii_cluster.chaos.load.crew import Crew
from iii_cluster.chaos.load.door import Door
from iii_cluster.chaos.load.jobs import Jobs
from iii_cluster.chaos.load.load import Load
from iii_cluster.chaos.load.queues import CONFIGS, STANDARD
from iii_cluster.chaos.load.registry import registered
from iii_cluster.chaos.load.selection import UnknownLoad, chosen, spelt
from iii_cluster.chaos.load.viewer import StreamDoor
from iii_cluster.chaos.load.workload import NAMES
from iii_cluster.chaos.recorder import Recorder
from iii_cluster.config.settings import ModuleEntry
from iii_cluster.modules.load import load_modules

# Which load


def test_all_load_is_chosen_unless_some_is_named() -> None:
    assert chosen(None) == dict.fromkeys(NAMES, 1.0)
    assert chosen("cron, queues=2.5") == {"cron": 1.0, "queues": 2.5}
    assert spelt(chosen("cron, queues=2.5")) == "cron,queues=2.5"


@pytest.mark.parametrize(
    "words", ["", "melt", "queues=", "queues=x", "queues=0", "queues=-1", "queues=inf", "queues=nan"]
)
def test_load_that_makes_no_sense_is_refused(words: str) -> None:
    with pytest.raises(UnknownLoad):
        chosen(words)


def made(words: str | None) -> Load:
    doors = [Door("ws://127.0.0.1:1/", lambda _worker: "gateway-1")] * 2
    stream_doors = [StreamDoor("ws://127.0.0.1:1/", "gateway-1")] * 2
    sizes = Sizes(rate=10.0, duration=5.0)
    http_doors = [HttpDoor(1, "gateway-1")] * 2
    recorder = Recorder(2.0)
    return Load(doors, stream_doors, http_doors, recorder, seed=1, sizes=sizes, factors=chosen(words), own_queues=True)


async def test_only_the_load_that_was_chosen_is_made() -> None:
    everything, some = made(None), made("calls,cron=3")
    assert len(everything.workloads) == len(NAMES) - 1
    assert len(some.workloads) == 1
    crons = [client for client in some.clients if "-cron-" in client.name]
    assert [len(client.functions) for client in crons] == [3, 3]
    assert len({client.name for client in everything.clients}) == len(everything.clients)


async def test_triggers_of_modules_are_expected_in_listings() -> None:
    load = made("topics")
    client = next(client for client in load.clients if client.triggers and "subscriber" in client.name)
    client.connection = Connection(id=1, client=client.name, gateway="gateway-1", worker="w", opened=0.0)
    expected = registered(load)["triggers"]
    assert len(expected) == 2
    assert {one.partition(" ")[2] for one in expected} == {
        f"(durable:subscriber -> chaos-1::topic::{function}) live" for function in ("first", "second")
    }


# The queues of a cluster of our own


def test_our_queues_are_added_to_those_of_the_file() -> None:
    state = ModuleEntry("iii-state", {})
    entries = with_queues([state, ModuleEntry("iii-queue", {"queue_configs": {"mail": {"concurrency": 2}}})])
    assert entries[0] == state
    assert entries[1].config["queue_configs"] == {"mail": {"concurrency": 2}, **CONFIGS}
    assert with_queues([])[0].config == {"queue_configs": CONFIGS}


def test_the_queue_module_takes_our_queues() -> None:
    assert load_modules(with_queues([]))


# Jobs


class Caller:
    """A worker that notes what it was asked to send."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.connection = recorder.opened("caller", "gateway-1", "w")
        self.sent: list[dict[str, Any]] = []
        self.answers: list[Any] = []
        self.letters: list[dict[str, Any]] | None = []
        self.served: list[asyncio.Task[None]] = []

    async def invoke(
        self, kind: str, function: str, data: Any, action: Any = None
    ) -> tuple[Call, "asyncio.Future[Any]"]:
        call = self.recorder.called(self.connection, kind, function)
        call.outcome = OK
        self.sent.append(data)
        return call, asyncio.get_running_loop().create_future()

    async def ask(self, function: str, *, topic: str, offset: int, limit: int) -> Any:
        return None if self.letters is None else self.letters[offset : offset + limit]

    async def answer(self, frame: Any, result: Any, error: Any = None) -> None:
        self.answers.append(error)

    def spawn(self, coroutine: Any) -> None:
        self.served.append(asyncio.get_running_loop().create_task(coroutine))


@pytest.fixture
async def caller() -> Any:  # a client as far as jobs need one
    return Caller(Recorder(2.0))


def jobs(caller: Any, seed: int = 1) -> Jobs:
    queue = Queue(name=STANDARD, at=0.0, functions=["f"], concurrency=2, attempts=4)
    return Jobs(Crew([], caller.recorder, seed), "queue", [queue])


async def serve(made: Jobs, caller: Any, data: Any) -> Any:
    """The error that was answered."""
    made.serve(caller, {"function_id": "f", "data": data | {"wait": 0}})
    await asyncio.gather(*caller.served)
    return caller.answers[-1]


async def test_a_job_fails_as_often_as_it_says(caller: Any) -> None:
    handlers = jobs(caller)
    job = {"job": 1, "fails": 2, "doomed": False}
    assert [bool(await serve(handlers, caller, job)) for _ in range(4)] == [True, True, False, False]
    assert [attempt.ok for attempt in caller.recorder.history.attempts] == [False, False, True, True]
    assert await serve(handlers, caller, {"job": 2, "fails": 0, "doomed": True})


async def test_jobs_are_awaited_until_they_are_done_or_dead(caller: Any) -> None:
    asked = jobs(caller)
    for _ in range(2):
        await asked.ask(caller, STANDARD, "f", action={"type": "enqueue", "queue": STANDARD})
    first, second = caller.sent
    assert asked.open == 2
    await serve(asked, caller, first | {"fails": 0, "doomed": False})
    assert asked.open == 1
    letter = {"id": "x", "payload": second, "error": "failed", "failed_at": 1_800_000_000, "retries": 4}
    caller.letters = [letter]
    await asyncio.wait_for(asked.rest(caller), 10)
    assert [one.job for one in caller.recorder.history.dead_letters] == [second["job"]]


async def test_jobs_that_redis_lost_with_its_memory_are_not_awaited(caller: Any) -> None:
    asked = jobs(caller)
    await asked.ask(caller, STANDARD, "f", action={"type": "enqueue", "queue": STANDARD})
    fault = caller.recorder.injected(0, "redis-flush")
    fault.forgot, fault.over = True, caller.recorder.now() + 1
    assert asked.open == 0


async def test_some_jobs_fail_at_first_and_some_always(caller: Any) -> None:
    asked = jobs(caller, seed=3)
    for _ in range(500):
        await asked.ask(caller, STANDARD, "f", action={"type": "enqueue", "queue": STANDARD})
    assert 20 <= sum(job.fails > 0 for job in caller.recorder.history.jobs) <= 90
    assert 1 <= sum(job.doomed for job in caller.recorder.history.jobs) <= 30
