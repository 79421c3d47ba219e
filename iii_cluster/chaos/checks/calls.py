"""Every call ends, with its own answer, once, and is carried out at most once."""

from collections import defaultdict
from collections.abc import Iterator

from iii_cluster.chaos.history import ENGINE, OK, OPEN, Call, Execution
from iii_cluster.chaos.limits import CALL

from .evidence import Index
from .reach import slack
from .violation import Violation

ENDS = "every call ends"
OWN_ANSWER = "every answer belongs to its call"
ANSWERED_ONCE = "a call is answered once"
EXECUTED_ONCE = "a call is carried out at most once"


def check(index: Index) -> Iterator[Violation]:
    for call in index.history.calls:
        yield from _ending(index, call)
        yield from _answer(call)
    for stray in index.history.strays:
        yield Violation(check=OWN_ANSWER, at=stray.at, text=f"an answer to nothing that was asked: {stray.text}")
    yield from _executions(index)


def _ending(index: Index, call: Call) -> Iterator[Violation]:
    history = index.history
    last = history.ended if call.ended == OPEN else call.ended
    if last == OPEN or call.orphaned:
        return
    if call.ended == OPEN:
        yield Violation(check=ENDS, at=call.began, text=f"{_name(index, call)} has not ended after {_took(call, last)}")
    elif last - call.began > CALL + slack(history, call.began, last):
        yield Violation(
            check=ENDS, at=last, text=f"{_name(index, call)} took {_took(call, last)}, more than {CALL:g} s"
        )


def _answer(call: Call) -> Iterator[Violation]:
    if call.answers > 1:
        yield Violation(check=ANSWERED_ONCE, at=call.ended, text=f"call {call.n} was answered {call.answers} times")
    if call.outcome == OK and call.kind != ENGINE and call.answer != call.n:
        text = f"call {call.n} to {call.function} was answered with the result of call {call.answer}"
        yield Violation(check=OWN_ANSWER, at=call.ended, text=text)
    elif call.answered_as not in ("", call.function):
        text = f"call {call.n} to {call.function} was answered for {call.answered_as}"
        yield Violation(check=OWN_ANSWER, at=call.ended, text=text)


def _executions(index: Index) -> Iterator[Violation]:
    by_call: dict[int, list[Execution]] = defaultdict(list)
    for execution in index.history.executions:
        by_call[execution.n].append(execution)
    for n, executions in by_call.items():
        if len(executions) > 1:
            who = ", ".join(index.connections[execution.connection].client for execution in executions)
            text = f"call {n} was carried out {len(executions)} times, by {who}"
            yield Violation(check=EXECUTED_ONCE, at=executions[1].at, text=text)


def _name(index: Index, call: Call) -> str:
    return f"call {call.n} ({call.kind}) of {index.client(call)} at {index.gateway(call)} to {call.function}"


def _took(call: Call, last: float) -> str:
    return f"{last - call.began:.1f} s"
