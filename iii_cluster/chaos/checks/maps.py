"""A term has one leader, a term and epoch one map, a slot one owner in it; no process goes back to an older map."""

from collections.abc import Iterator

from iii_cluster.chaos.history import History, MapSeen
from iii_cluster.cluster.slots import SLOTS

from .violation import Violation

ONE_LEADER = "a term has one leader"
ONE_MAP = "a term and epoch have one map"
ONE_OWNER = "a slot has one owner per epoch"
FORWARD = "a process never goes back to an older map"


def check(history: History) -> Iterator[Violation]:
    yield from _leaders(history)
    first: dict[tuple[int, int], MapSeen] = {}
    newest: dict[tuple[str, int], MapSeen] = {}  # by process and pid: one started again remembers nothing
    for seen in history.maps:
        other = first.setdefault((seen.term, seen.epoch), seen)
        if other is not seen:
            yield from _differences(seen, other)
        before = newest.get((seen.process, seen.pid))
        if before is not None and (seen.term, seen.epoch) < (before.term, before.epoch):
            text = f"{seen.process} went from {_version(before)} to {_version(seen)}"
            yield Violation(check=FORWARD, at=seen.at, text=text)
        newest[seen.process, seen.pid] = seen


def _leaders(history: History) -> Iterator[Violation]:
    claims = [(one.at, one.term, one.node) for one in history.elected]
    claims += [(seen.at, seen.term, seen.leader) for seen in history.maps if seen.leader]
    leaders: dict[int, str] = {}
    told: set[tuple[int, str]] = set()
    for at, term, node in sorted(claims):
        first = leaders.setdefault(term, node)
        if node != first and (term, node) not in told:
            told.add((term, node))
            yield Violation(check=ONE_LEADER, at=at, text=f"both {first} and {node} led in term {term}")


def _differences(seen: MapSeen, other: MapSeen) -> Iterator[Violation]:
    where = f"{_version(seen)} at {seen.process} and at {other.process}"
    if (seen.leader, sorted(seen.nodes)) != (other.leader, sorted(other.nodes)):
        yield Violation(check=ONE_MAP, at=seen.at, text=f"{where} differ in their nodes or leader")
    mine, theirs = _owners(seen), _owners(other)
    differing = [slot for slot in range(SLOTS) if mine[slot] != theirs[slot]]
    if differing:
        slot = differing[0]
        text = f"{where} differ in {len(differing)} slots, such as {slot}: {mine[slot]} and {theirs[slot]}"
        yield Violation(check=ONE_OWNER, at=seen.at, text=text)


def _owners(seen: MapSeen) -> list[str]:
    """Of each slot, "" for nobody."""
    table = [""] * SLOTS
    for node, ranges in seen.slots.items():
        for first, last in ranges:
            table[first : last + 1] = [node] * (last + 1 - first)
    return table


def _version(seen: MapSeen) -> str:
    return f"term {seen.term} epoch {seen.epoch}"
