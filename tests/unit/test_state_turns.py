"""Updates by compare-and-set, against a store that others write to as well."""

import asyncio
import json
from collections.abc import Callable, Sequence

import msgspec
import pytest

from iii_cluster.modules.updates.ops import Increment, Op
from iii_cluster.modules.updates.text import BadUpdate
from iii_cluster.modules.updates.turns import MAX_STEPS, Contended, Outcome, Turns
from iii_cluster.telemetry.tracing import Trace

PATIENCE = 60.0  # seconds; no test waits for it
MANY = 2**20


class Memory:
    """One key. `before_swap` runs before each swap, as somebody else."""

    def __init__(self, value: bytes | None = None) -> None:
        self.value = value
        self.told: list[bytes] = []
        self.traces: list[Trace] = []
        self.turns: list[int] = []
        self.reads = 0
        self.before_swap: Callable[[], None] = lambda: None
        self.fails: Exception | None = None

    async def read(self) -> bytes | None:
        self.reads += 1
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        return self.value

    async def swap(
        self, expected: bytes | None, steps: Sequence[bytes], traces: Sequence[Trace]
    ) -> tuple[bool, bytes | None]:
        await asyncio.sleep(0)
        self.before_swap()
        if self.fails is not None:
            raise self.fails
        if self.value != expected:
            return False, self.value
        self.value = steps[-1]
        self.told += steps
        self.traces += traces
        self.turns.append(len(steps))
        return True, None


@pytest.fixture
def turns() -> Turns:
    return Turns(MANY, PATIENCE)


INCREMENT: list[Op] = [Increment("n", 1)]


async def test_an_update_answers_with_what_was_and_what_is(turns: Turns) -> None:
    memory = Memory(b'{"n":1}')
    assert await turns.update("k", memory, INCREMENT) == Outcome(b'{"n":1}', b'{"n":2}', [])
    assert memory.value == b'{"n":2}'


async def test_many_updates_share_a_turn_and_each_is_told(turns: Turns) -> None:
    memory = Memory()
    outcomes = await asyncio.gather(*(turns.update("k", memory, INCREMENT) for _ in range(500)))
    assert [json.loads(outcome.new)["n"] for outcome in outcomes] == list(range(1, 501))
    assert outcomes[0].old is None
    assert [outcome.old for outcome in outcomes[1:]] == [outcome.new for outcome in outcomes[:-1]]
    assert memory.told == [outcome.new for outcome in outcomes]
    assert max(memory.turns) <= MAX_STEPS
    assert memory.reads == 1


async def test_of_updates_that_share_a_turn_each_is_told_in_its_own_trace(turns: Turns) -> None:
    memory = Memory()
    traces = [(b'"%d"' % n, b"") for n in range(10)]
    refused = turns.update("k", memory, [Increment("n.x", 1)], (b'"refused"', b""))
    updates = [turns.update("k", memory, INCREMENT, trace) for trace in traces]
    await asyncio.gather(*updates[:5], refused, *updates[5:], return_exceptions=True)
    assert [trace for trace in memory.traces if trace in traces] == traces
    assert len(memory.traces) == len(memory.told)


async def test_what_others_write_meanwhile_is_not_lost(turns: Turns) -> None:
    memory = Memory(b'{"n":0}')
    others = iter(range(1, 6))

    def interfere() -> None:
        if next(others, None) is not None:
            memory.value = msgspec.json.encode({"n": json.loads(memory.value or b"{}")["n"] + 1000})

    memory.before_swap = interfere
    await asyncio.gather(*(turns.update("k", memory, INCREMENT) for _ in range(100)))
    assert json.loads(memory.value or b"") == {"n": 5100}


async def test_two_processes_lose_nothing() -> None:
    memory = Memory()
    processes = [Turns(MANY, PATIENCE), Turns(MANY, PATIENCE)]
    await asyncio.gather(*(turns.update("k", memory, INCREMENT) for _ in range(300) for turns in processes))
    assert json.loads(memory.value or b"") == {"n": 600}


async def test_big_values_take_turns_of_their_own(turns: Turns) -> None:
    memory = Memory(msgspec.json.encode({"n": 0, "text": "x" * (MANY - 100)}))
    await asyncio.gather(*(turns.update("k", memory, INCREMENT) for _ in range(4)))
    assert memory.turns == [2, 2]


async def test_an_update_that_cannot_be_done_fails_alone(turns: Turns) -> None:
    memory = Memory(b'{"n":0}')
    too_big: list[Op] = [Increment("x" * 200, 1)]
    small = Turns(100, PATIENCE)
    results = await asyncio.gather(
        small.update("k", memory, INCREMENT),
        small.update("k", memory, too_big),
        small.update("k", memory, INCREMENT),
        return_exceptions=True,
    )
    assert isinstance(results[1], BadUpdate)
    assert memory.value == b'{"n":2}'


async def test_a_store_that_fails_fails_all_who_wait_and_only_those(turns: Turns) -> None:
    memory = Memory(b'{"n":0}')
    memory.fails = OSError("gone")
    results = await asyncio.gather(*(turns.update("k", memory, INCREMENT) for _ in range(100)), return_exceptions=True)
    assert {str(result) for result in results} == {"gone"}
    assert memory.reads == 1
    memory.fails = None
    assert (await turns.update("k", memory, INCREMENT)).new == b'{"n":1}'


async def test_after_a_failed_write_the_value_is_read_again(turns: Turns) -> None:
    memory = Memory(b'{"n":0}')

    def fail() -> None:
        memory.value = b'{"n":7}'  # it was written all the same
        memory.fails = OSError("gone")

    memory.before_swap = fail
    with pytest.raises(OSError, match="gone"):
        await turns.update("k", memory, INCREMENT)
    memory.before_swap = lambda: None
    memory.fails = None
    assert (await turns.update("k", memory, INCREMENT)).new == b'{"n":8}'


async def test_who_is_outrun_forever_is_told() -> None:
    memory = Memory(b'{"n":0}')
    numbers = iter(range(1, 10**9))

    def interfere() -> None:
        memory.value = b'{"n":%d}' % next(numbers)

    memory.before_swap = interfere
    with pytest.raises(Contended):
        await Turns(MANY, 0.0).update("k", memory, INCREMENT)


async def test_a_caller_that_goes_away_takes_nobody_with_it(turns: Turns) -> None:
    memory = Memory()
    updates = [asyncio.ensure_future(turns.update("k", memory, INCREMENT)) for _ in range(5)]
    await asyncio.sleep(0)
    updates[1].cancel()
    await asyncio.gather(*updates, return_exceptions=True)
    assert json.loads(memory.value or b"") == {"n": 4}


async def test_whoever_waits_when_the_process_stops_is_told(turns: Turns) -> None:
    memory = Memory()
    update = asyncio.ensure_future(turns.update("k", memory, INCREMENT))
    await asyncio.sleep(0)
    await turns.close()
    with pytest.raises(ConnectionError, match="stops"):
        await update
