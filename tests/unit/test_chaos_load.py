import asyncio
import contextlib
import random
from typing import Any

import pytest

from iii_cluster.chaos.history import OK, OPEN, UNANSWERED, Call
from iii_cluster.chaos.limits import GIVE_UP
from iii_cluster.chaos.load import churn, tasks
from iii_cluster.chaos.load.churn import Visitor
from iii_cluster.chaos.load.door import Backoff
from iii_cluster.chaos.load.names import Names
from iii_cluster.chaos.load.pending import Pending


def call(n: int = 1) -> Call:
    return Call(n=n, kind="single", function="f", connection=1, began=1)


def answer(invocation: str = "i", **fields: object) -> dict[str, object]:
    return {"type": "invocationresult", "invocation_id": invocation, "function_id": "f", **fields}


async def test_an_answer_ends_its_call_with_the_number_it_brings() -> None:
    pending, made = Pending(), call()
    future = pending.add("i", made)
    assert pending.answered(answer(result={"n": 1}), 2)
    assert (made.ended, made.outcome, made.answer, made.answered_as, made.answers) == (2, OK, 1, "f", 1)
    assert await future == (OK, {"n": 1})
    assert len(pending) == 0


async def test_an_error_ends_its_call_with_its_code() -> None:
    pending, made = Pending(), call()
    pending.add("i", made)
    assert pending.answered(answer(error={"code": "TIMEOUT", "message": "late"}), 2)
    assert (made.outcome, made.message, made.answer) == ("TIMEOUT", "late", None)


async def test_a_second_answer_is_counted_and_changes_nothing() -> None:
    pending, made = Pending(), call()
    pending.add("i", made)
    for moment in (2, 3):
        assert pending.answered(answer(result={"n": 1}), moment)
    assert (made.answers, made.ended) == (2, 2)


async def test_an_answer_nobody_asked_for_is_told() -> None:
    assert not Pending().answered(answer(), 1)


async def test_a_call_may_be_answered_on_the_next_connection() -> None:
    pending, made = Pending(), call()
    pending.add("i", made)
    pending.lost(2)
    pending.give_up(2 + GIVE_UP)
    assert made.ended == OPEN
    assert pending.answered(answer(result={"n": 1}), 4)
    assert made.outcome == OK
    assert made.orphaned


async def test_a_call_is_given_up_long_after_its_connection_was_lost() -> None:
    pending, made = Pending(), call()
    future = pending.add("i", made)
    pending.lost(2)
    pending.lost(5)  # lost again: the time counts from the first loss
    pending.give_up(2 + GIVE_UP + 0.1)
    assert made.outcome == UNANSWERED
    assert (await asyncio.wait_for(future, 1))[0] == UNANSWERED


def test_workers_come_back_after_about_a_second_and_then_more_slowly() -> None:
    for seed in range(50):
        backoff = Backoff(random.Random(seed))
        assert 0.7 <= backoff.wait() <= 1.3
        assert 1.4 <= backoff.wait() <= 2.6
        assert 1.4 <= backoff.wait() <= 2.6
        backoff.reset()
        assert 0.7 <= backoff.wait() <= 1.3


class Guest:
    """A client that leaves slowly."""

    def __init__(self) -> None:
        self.functions: dict[str, Any] = {}
        self.triggers: dict[str, Any] = {}
        self.leaving = asyncio.Event()
        self.ended = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    async def leave(self, *, abruptly: bool) -> None:
        self.leaving.set()
        await asyncio.Event().wait()


async def test_a_visitor_whose_leaving_is_cut_short_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(churn, "KEEP", (0.0, 0.0))
    guest: Any = Guest()
    visiting = asyncio.create_task(Visitor(lambda _name: guest, Names(1), 0, random.Random(1), "type").run())
    await guest.leaving.wait()
    visiting.cancel()
    await asyncio.gather(visiting, return_exceptions=True)
    assert guest.ended


async def test_what_takes_no_notice_of_its_end_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PATIENCE", 0.01)

    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    ending = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await tasks.end([ending])
    assert ending.cancelled()


async def test_load_that_failed_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise KeyError("a mistake")

    failing = asyncio.create_task(fail())
    await asyncio.wait([failing])
    await tasks.end([failing])
    assert "a mistake" in caplog.text
