"""Increments of a number add up; whoever reads it never sees it go back; its triggers are told of each change, once."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from iii_cluster.chaos.effects import Count, Noticed
from iii_cluster.chaos.history import FOREVER, OPEN, end
from iii_cluster.chaos.limits import EVENT

from .evidence import Evidence
from .reach import Reach
from .violation import Violation

SUM = "increments add up"
FORWARD = "a number is never read older than before"
TOLD = "a trigger is told of every change"
TOLD_ONCE = "a trigger is told of changes in their order, once"


def check(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    by_key: dict[str, list[Count]] = defaultdict(list)
    for count in evidence.history.counts:
        by_key[count.key].append(count)
    for key, counts in by_key.items():
        yield from _forward(evidence, key, counts)
    for total in evidence.history.totals:
        least, most = bounds(evidence, by_key[total.key])
        if total.value is None or not least <= total.value <= most:
            text = f"{total.key} is {total.value} as {total.gateway} reads it; {least} increments were acknowledged"
            yield Violation(check=SUM, at=total.at, text=f"{text}, {most - least} more may have been carried out")
    yield from _noticed(evidence, reach)


def bounds(evidence: Evidence, counts: Sequence[Count]) -> tuple[int, int]:
    """The increments since Redis lost its memory that were acknowledged, and all that may have been carried out."""
    lost_from = max((began for began, _ in evidence.losses), default=0.0)
    lost_until = evidence.history.last_loss
    increments = [count for count in counts if not count.read]
    least = sum(evidence.acknowledged(one.call) and one.at > lost_until for one in increments)
    # One that was acknowledged before is gone; another one may yet come from a buffer somewhere.
    most = sum(not evidence.acknowledged(one.call) or _ended(evidence, one) >= lost_from for one in increments)
    return least, most


def _forward(evidence: Evidence, key: str, counts: Sequence[Count]) -> Iterator[Violation]:
    """What begins after another one has ended sees its number or a later one; an increment, one that nobody saw."""
    known = [one for one in counts if one.value is not None]
    ending = iter(sorted(known, key=lambda one: _ended(evidence, one)))
    ended = next(ending, None)
    newest: Count | None = None
    for one in sorted(known, key=lambda count: count.at):
        while ended is not None and _ended(evidence, ended) < one.at:
            if newest is None or _value(ended) >= _value(newest) or evidence.forgot(newest.at, ended.at):
                newest = ended
            ended = next(ending, None)
        if newest is None or evidence.forgot(newest.at, _ended(evidence, one)):
            continue
        if _value(one) < _value(newest) + (not one.read):
            what = "read" if one.read else "incremented to"
            text = f"{key} was {what} {one.value} by call {one.call}, after call {newest.call} had {newest.value}"
            yield Violation(check=FORWARD, at=_ended(evidence, one), text=text)


def _noticed(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    told: dict[tuple[int, str], list[Noticed]] = defaultdict(list)
    for one in evidence.history.noticed:
        told[one.connection, one.key].append(one)
    for (number, key), changes in told.items():
        connection = evidence.connections[number]
        values = {change.value for change in changes}
        for before, after in itertools.pairwise(changes):
            if evidence.forgot(before.at - EVENT, after.at):  # it may have been told after the loss, not written
                continue
            if after.value <= before.value:
                text = f"{connection.client} was told {key} = {after.value} after {before.value}"
                yield Violation(check=TOLD_ONCE, at=after.at, text=text)
                continue
            missing = next((value for value in range(before.value + 1, after.value) if value not in values), None)
            if missing is not None and not reach.disturbed(connection, before.at, after.at):
                text = f"{connection.client} was told {key} = {after.value} after {before.value}, and never {missing}"
                yield Violation(check=TOLD, at=after.at, text=text)
        last = changes[-1]
        finals = [one.value for one in evidence.history.totals if one.key == key and one.value is not None]
        untold = finals and connection.closed == OPEN and last.value < min(finals)
        if untold and not reach.disturbed(connection, last.at, FOREVER) and not evidence.forgot(last.at, FOREVER):
            text = f"{connection.client} was told {key} = {last.value} and nothing later, up to {min(finals)}"
            yield Violation(check=TOLD, at=last.at, text=text)


def _ended(evidence: Evidence, count: Count) -> float:
    return end(evidence.calls[count.call].ended)


def _value(count: Count) -> int:
    assert count.value is not None
    return count.value
