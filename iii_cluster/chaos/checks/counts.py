"""Increments of a number add up; whoever reads it never sees it go back; its triggers are told of each change, once."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from iii_cluster.chaos.effects import Count, Noticed
from iii_cluster.chaos.history import OPEN, Connection, end
from iii_cluster.chaos.limits import BARRIER, EVENT

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
        yield from _in_order(evidence, connection, key, changes)
        yield from _all(evidence, reach, connection, key, changes)


def _in_order(evidence: Evidence, connection: Connection, key: str, changes: Sequence[Noticed]) -> Iterator[Violation]:
    for before, after in itertools.pairwise(changes):
        if evidence.forgot(before.at - EVENT, after.at):  # it may have been told after the loss, not written
            continue
        if after.value <= before.value:
            text = f"{connection.client} was told {key} = {after.value} after {before.value}"
            yield Violation(check=TOLD_ONCE, at=after.at, text=text)


def _all(
    evidence: Evidence, reach: Reach, connection: Connection, key: str, changes: Sequence[Noticed]
) -> Iterator[Violation]:
    """Every change that was made while the trigger was surely known, before one that was told, or before the end."""
    known = [one.confirmed for one in evidence.history.registrations if one.connection == connection.id]
    since = end(min(known, default=OPEN)) + BARRIER
    values = {change.value for change in changes}
    to_the_end = evidence.ended and connection.closed == OPEN
    for count in evidence.history.counts:
        if count.key != key or count.read or count.value is None or count.at < since or count.value in values:
            continue
        later = [change for change in changes if change.at > count.at and change.value > count.value]
        if not later and not to_the_end:
            continue
        until = later[0].at if later else evidence.history.ended
        if not reach.disturbed(connection, count.at, until) and not evidence.forgot(count.at - EVENT, until):
            instead = f"but {later[0].value} at {until:.2f} s" if later else "nor anything later"
            text = f"{connection.client} was never told {key} = {count.value}, {instead}"
            yield Violation(check=TOLD, at=count.at, text=text)


def _ended(evidence: Evidence, count: Count) -> float:
    return end(evidence.calls[count.call].ended)


def _value(count: Count) -> int:
    assert count.value is not None
    return count.value
