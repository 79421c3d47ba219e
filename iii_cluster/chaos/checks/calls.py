"""Every call ends, with its own answer, once, and is carried out at most once."""

from collections import defaultdict
from collections.abc import Iterator

from iii_cluster.chaos.history import ENGINE, MODULES, OK, OPEN, Call, Execution
from iii_cluster.chaos.limits import CALL

from .evidence import Evidence
from .violation import Violation

ENDS = "every call ends"
OWN_ANSWER = "every answer belongs to its call"
ANSWERED_ONCE = "a call is answered once"
EXECUTED_ONCE = "a call is carried out at most once"


def check(evidence: Evidence) -> Iterator[Violation]:
    for call in evidence.history.calls:
        yield from _ending(evidence, call)
        yield from _answer(call)
    for stray in evidence.history.strays:
        yield Violation(check=OWN_ANSWER, at=stray.at, text=f"an answer to nothing that was asked: {stray.text}")
    yield from _executions(evidence)


def _ending(evidence: Evidence, call: Call) -> Iterator[Violation]:
    last = evidence.history.ended if call.ended == OPEN else call.ended
    if last == OPEN or call.orphaned:
        return
    name, took = evidence.name(call), last - call.began
    if call.ended == OPEN:
        yield Violation(check=ENDS, at=call.began, text=f"{name} has not ended after {took:.1f} s")
    elif took > CALL + evidence.slack(call.began, last):
        yield Violation(check=ENDS, at=last, text=f"{name} took {took:.1f} s, more than {CALL:g} s")


def _answer(call: Call) -> Iterator[Violation]:
    if call.answers > 1:
        yield Violation(check=ANSWERED_ONCE, at=call.ended, text=f"call {call.n} was answered {call.answers} times")
    numbered = call.kind not in (ENGINE, *MODULES)
    if call.outcome == OK and numbered and call.answer != call.n:
        text = f"call {call.n} to {call.function} was answered with the result of call {call.answer}"
        yield Violation(check=OWN_ANSWER, at=call.ended, text=text)
    elif call.answered_as not in ("", call.function):
        text = f"call {call.n} to {call.function} was answered for {call.answered_as}"
        yield Violation(check=OWN_ANSWER, at=call.ended, text=text)


def _executions(evidence: Evidence) -> Iterator[Violation]:
    by_call: dict[int, list[Execution]] = defaultdict(list)
    for execution in evidence.history.executions:
        by_call[execution.n].append(execution)
    for n, executions in by_call.items():
        if len(executions) > 1:
            who = ", ".join(evidence.connections[execution.connection].client for execution in executions)
            text = f"call {n} was carried out {len(executions)} times, by {who}"
            yield Violation(check=EXECUTED_ONCE, at=executions[1].at, text=text)
